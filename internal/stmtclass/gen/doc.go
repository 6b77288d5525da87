// Command gen writes procs_gen.go, the names of PostgreSQL's built-in functions
// with their volatility, as a real server's pg_proc has them. It starts a
// throw-away server in single-user mode; the flag -bin names the directory of
// its binaries. Run it with go generate.
package main
