package faultproxy_test

import (
	"fmt"
	"net"
	"sync"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/anywriter/anywriter/sqltest/faultproxy"
)

// A server does what it was asked, and its client never hears of it.
func Example() {
	server, err := net.Listen("tcp", "127.0.0.1:0") // stands for a PostgreSQL
	if err != nil {
		panic(err)
	}
	var running sync.WaitGroup
	answering := &canned{}
	running.Go(func() { // ends when the listener is closed
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			answering.serve(conn)
		}
	})

	cfg, err := faultproxy.TCP(server.Addr().String())
	if err != nil {
		panic(err)
	}
	proxy, err := faultproxy.Start(cfg)
	if err != nil {
		panic(err)
	}
	// The second ReadyForQuery is the one that answers the first query.
	lost := proxy.MustAdd(faultproxy.Rule{Direction: faultproxy.ToClient, Type: 'Z', Nth: 2, Action: faultproxy.Cut})

	client, err := net.Dial("tcp", proxy.Addr().String())
	if err != nil {
		panic(err)
	}
	frontend := pgproto3.NewFrontend(client, client)
	frontend.Send(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "x"}})
	got, err := answers(frontend)
	fmt.Println(got, err) // Authentication and Ready of the start
	got, err = ask(frontend, "insert …")
	fmt.Println(got, err) // RowDescription, DataRow, CommandComplete, and no Ready
	fmt.Println(answering.texts())
	fmt.Println(lost.Hits()[0])

	_ = client.Close() // it is cut already
	fmt.Println(proxy.Close(), server.Close())
	running.Wait()
	// Output:
	// AR <nil>
	// RDC unexpected EOF
	// [insert …]
	// after 0 of 6 bytes of ReadyForQuery number 2 to client, connection 1
	// <nil> <nil>
}
