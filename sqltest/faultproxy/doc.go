// Package faultproxy is a TCP proxy for the PostgreSQL protocol that fails on
// command: it knows where messages begin and end, so a test can say "cut the
// connection when the server answers the third COMMIT".
//
//	cfg, err := faultproxy.TCP("127.0.0.1:5432")
//	…
//	proxy, err := faultproxy.Start(cfg) // connect to proxy.Addr()
//	…
//	lost := proxy.MustAdd(faultproxy.Rule{
//		Direction: faultproxy.ToClient, Type: 'Z', Nth: 3, Action: faultproxy.Reset,
//	})
//	_, err = db.Exec("insert …") // what does the application make of it?
//	lost.Hits()                  // where the rule has acted
//
// A Rule says where: before, after or within a message of a type and a
// direction, the n-th of a connection or of all, or at one byte of a stream;
// and what: FIN, reset, a freeze that Armed.Thaw or Armed.End ends, delay, loss
// of the message or of the answer to it, or nothing but to tell that the
// message came. Whole networks fail by Proxy.Freeze, BlackHole, SetLatency,
// Refuse, CutAll and ResetAll. One proxy may have a route to each node of a
// cluster (Config.More); then all of this counts and acts over all of them.
//
// It owns the connections that it accepts and dials, and all bytes between
// them. It never changes a byte, answers nothing itself except a refusal of
// encryption (which would hide the messages), and never decides by chance: what
// happens follows from the rules and the order of messages. It works over any
// net.Listener and dial function, also in memory and in testing/synctest.
//
// Open proxy.go first, then rule.go (what can be made to happen), armed.go (what
// has), message.go (finding message boundaries) and pump.go (one direction of a
// connection).
package faultproxy
