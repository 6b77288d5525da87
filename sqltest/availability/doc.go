// Package availability measures what the users of a database see while one of
// its nodes is sick: which operations fail, how long anybody waits, how long
// nothing succeeds at all, and whether what was acknowledged is there, once.
//
//	load, err := availability.NewLoad(availability.Config{DB: db})
//	…
//	err = availability.Setup(ctx, db)
//	load.Start()
//	… // hurt a node, heal it
//	record := load.Stop()
//	record.LongestGap(hurt, healed)
//
// It owns the load (operations of two kinds at a fixed pace, from many
// goroutines), the record of every operation and the figures read from it. It
// works with any database/sql driver and doesn't know how nodes are hurt. All
// times are those of the process, so in testing/synctest they are virtual.
//
// Open load.go first, then record.go (the figures) and outcome.go (what an error
// says about a write). The tests hold the fault matrix of the driver.
package availability
