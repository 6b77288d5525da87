// Package faultproxy is a TCP proxy for the PostgreSQL protocol that fails on
// command: it knows where messages begin and end, so a test can say "cut the
// connection when the server answers the third COMMIT".
//
// It owns the connections that it accepts and dials, and all bytes between
// them. It never changes a byte, answers nothing itself except a refusal of
// encryption (which would hide the messages), and never decides by chance: what
// happens follows from the rules and the order of messages. It works over any
// net.Listener and dial function, also in memory and in testing/synctest.
//
// Open proxy.go first, then rule.go (what can be made to happen), message.go
// (finding message boundaries) and pump.go (one direction of a connection).
package faultproxy
