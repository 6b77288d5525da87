// Package pgtest runs real PostgreSQL servers for tests: it finds the server
// binaries, makes one template data folder per process, copies it for each
// server, and starts, stops, kills, freezes and restarts what it started.
//
// It owns the processes it starts and the folders it makes, and leaves neither
// behind, also when the test process itself is killed: a watchdog process waits
// for the end of a pipe that only the test process holds open. It never touches
// a server that it did not start, never installs anything and never opens a
// connection other than to ask whether a server is ready.
//
// A test calls Start; where no binaries are found it is skipped with one line.
// Open server.go first, then find.go (binaries), template.go (initdb and copy)
// and process.go (signals and the watchdog).
package pgtest
