// Package clock tells the time to what runs once per statement.
//
// It owns the point from which a cluster counts its nanoseconds. It never waits
// and never ticks; whoever waits uses package time. Open clock.go.
package clock
