//go:build !race

package availability_test

// raceEnabled tells that the race detector, which makes everything slower, is on.
const raceEnabled = false
