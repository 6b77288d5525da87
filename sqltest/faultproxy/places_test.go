package faultproxy_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/sqltest/faultproxy"
)

// recorded keeps what is read from a connection.
type recorded struct {
	net.Conn
	mu   sync.Mutex
	data []byte
}

func (r *recorded) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.data = append(r.data, b[:n]...)
	return n, err
}

func (r *recorded) bytes() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(r.data)
}

// talk is one dialogue with a canned server: what each side got to read in the
// end.
type talk struct {
	proxy          *faultproxy.Proxy
	client, server *recorded
	start          func()
	running        sync.WaitGroup
}

// newTalk prepares a dialogue of a request for encryption, a startup, two
// queries and a farewell; it must run in a bubble.
func newTalk(t *testing.T) *talk {
	t.Helper()
	front, k := newMemory(), &talk{}
	ours, theirs := net.Pipe()
	k.server = &recorded{Conn: theirs}
	k.running.Go(func() { (&canned{}).serve(k.server) }) // ends with its connection
	var err error
	k.proxy, err = faultproxy.Start(faultproxy.Config{Listener: front, Dial: func(context.Context) (net.Conn, error) { return ours, nil }})
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = k.client.Close() // it is over
		require.NoError(t, k.proxy.Close())
		k.running.Wait()
	})
	conn, err := front.dial(t.Context())
	require.NoError(t, err)
	k.client = &recorded{Conn: conn}
	k.start = func() { k.running.Go(func() { speak(k.client) }) } // ends with its connection
	return k
}

// speak is the client's side of the dialogue. It ends at the first error.
func speak(conn net.Conn) {
	request, err := (&pgproto3.SSLRequest{}).Encode(nil)
	if err != nil {
		return
	}
	if _, err = conn.Write(request); err != nil {
		return
	}
	if _, err = io.ReadFull(conn, make([]byte, 1)); err != nil {
		return
	}
	frontend := pgproto3.NewFrontend(conn, conn)
	frontend.Send(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "x"}})
	for _, next := range []pgproto3.FrontendMessage{&pgproto3.Query{String: "one"}, &pgproto3.Query{String: "two"}, &pgproto3.Terminate{}} {
		if frontend.Flush() != nil {
			return
		}
		for ready := false; !ready; {
			msg, err := frontend.Receive()
			if err != nil {
				return
			}
			_, ready = msg.(*pgproto3.ReadyForQuery)
		}
		frontend.Send(next)
	}
	_ = frontend.Flush()
	_, _ = conn.Read(make([]byte, 1)) // the server's farewell
}

// message is one message of the complete dialogue.
type message struct {
	dir        faultproxy.Direction
	typ        byte
	start, end int // in the stream that its receiver reads
}

// dialogue runs once without a fault and returns both streams, by direction,
// and the messages in them.
func dialogue(t *testing.T) (streams [3]string, messages []message) {
	t.Helper()
	k := newTalk(t)
	k.start()
	synctest.Wait()
	streams[faultproxy.ToServer], streams[faultproxy.ToClient] = k.server.bytes(), k.client.bytes()
	messages = append(messages, message{faultproxy.ToServer, faultproxy.SSLRequest, 0, 0}) // goes no further than the proxy
	messages = append(messages, message{faultproxy.ToClient, faultproxy.SSLAnswer, 0, 1})
	startup := int(binary.BigEndian.Uint32([]byte(streams[faultproxy.ToServer])))
	messages = append(messages, message{faultproxy.ToServer, faultproxy.Startup, 0, startup})
	for dir, at := range map[faultproxy.Direction]int{faultproxy.ToServer: startup, faultproxy.ToClient: 1} {
		for stream := streams[dir]; at < len(stream); {
			end := at + 1 + int(binary.BigEndian.Uint32([]byte(stream[at+1:])))
			messages = append(messages, message{dir, stream[at], at, end})
			at = end
		}
	}
	return streams, messages
}

// TestEveryPlaceOfEveryMessage fails before and after every message of a
// dialogue, in both directions, in every way: exactly what came before the
// place arrives.
func TestEveryPlaceOfEveryMessage(t *testing.T) {
	var streams [3]string
	var messages []message
	synctest.Test(t, func(t *testing.T) { streams, messages = dialogue(t) })
	require.Len(t, messages, 16)
	counts := map[[2]byte]int{}
	for _, m := range messages {
		key := [2]byte{byte(m.dir), m.typ}
		counts[key]++
		for _, place := range []faultproxy.Place{faultproxy.Before, faultproxy.After} {
			for _, action := range []faultproxy.Action{faultproxy.Cut, faultproxy.Reset, faultproxy.Hold} {
				rule := faultproxy.Rule{Direction: m.dir, Type: m.typ, Nth: counts[key], Place: place, Action: action}
				want := m.start
				if place == faultproxy.After {
					want = m.end
				}
				t.Run(fmt.Sprintf("%s %d %v %d %v", faultproxy.TypeName(m.dir, m.typ), rule.Nth, m.dir, place, action), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { failAt(t, rule, streams, want) })
				})
			}
		}
	}
}

// failAt runs the dialogue under a rule and checks that the receiver of the
// rule's direction got exactly the first want bytes, and the other one a part
// of its stream.
func failAt(t *testing.T, rule faultproxy.Rule, streams [3]string, want int) {
	t.Helper()
	k := newTalk(t)
	armed := k.proxy.MustAdd(rule)
	k.start()
	<-armed.Done()
	synctest.Wait()
	require.Equal(t, 1, armed.Fired())
	stats := k.proxy.Stats()
	got := [3]string{faultproxy.ToServer: k.server.bytes(), faultproxy.ToClient: k.client.bytes()}
	require.Equal(t, streams[rule.Direction][:want], got[rule.Direction])
	other := faultproxy.ToServer + faultproxy.ToClient - rule.Direction
	require.Equal(t, streams[other][:len(got[other])], got[other])
	if rule.Action != faultproxy.Hold {
		require.EqualValues(t, 1, stats.Cut+stats.Reset)
		require.Zero(t, stats.Open)
		return
	}
	require.EqualValues(t, 1, stats.Open)
	armed.Thaw()
	synctest.Wait()
	require.Equal(t, streams[rule.Direction], map[faultproxy.Direction]*recorded{
		faultproxy.ToServer: k.server, faultproxy.ToClient: k.client,
	}[rule.Direction].bytes(), "what was held arrives")
	require.Zero(t, k.proxy.Stats().Cut+k.proxy.Stats().Reset)
}

// TestEveryByteOfTheStream cuts at every byte of both directions.
func TestEveryByteOfTheStream(t *testing.T) {
	var streams [3]string
	synctest.Test(t, func(t *testing.T) { streams, _ = dialogue(t) })
	for _, dir := range []faultproxy.Direction{faultproxy.ToServer, faultproxy.ToClient} {
		// The request for encryption counts, but the proxy answers it itself.
		ahead := map[faultproxy.Direction]int{faultproxy.ToServer: 8}[dir]
		for want := range streams[dir] {
			synctest.Test(t, func(t *testing.T) {
				failAt(t, faultproxy.Rule{
					Direction: dir, Action: faultproxy.Cut, Place: faultproxy.InStream, Offset: ahead + want, PerConnection: true,
				}, streams, want)
			})
		}
	}
}

func TestPerConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := inMemory(t)
		first, second := b.session(t), b.session(t)
		overall := b.MustAdd(faultproxy.Rule{Direction: faultproxy.ToServer, Type: 'Q', Nth: 3, Action: faultproxy.Observe})
		each := b.MustAdd(faultproxy.Rule{Direction: faultproxy.ToServer, Type: 'Q', Nth: 3, PerConnection: true, Times: -1, Action: faultproxy.Observe})
		bytes := b.MustAdd(faultproxy.Rule{
			Direction: faultproxy.ToServer, Action: faultproxy.Observe, Place: faultproxy.InStream, Offset: 9, PerConnection: true, Times: -1,
		})
		for range 2 {
			for _, frontend := range []*pgproto3.Frontend{first, second} {
				_, err := ask(frontend, "x") // seven bytes
				require.NoError(t, err)
			}
		}
		require.Equal(t, []faultproxy.Hit{{Conn: 1, Direction: faultproxy.ToServer, Type: 'Q', Nth: 3, Size: 7}}, overall.Hits())
		require.Zero(t, each.Fired())
		require.Equal(t, []faultproxy.Hit{
			{Conn: 1, Direction: faultproxy.ToServer, Type: 'Q', Nth: 2, Size: 7, Split: 2},
			{Conn: 2, Direction: faultproxy.ToServer, Type: 'Q', Nth: 2, Size: 7, Split: 2},
		}, bytes.Hits())
		require.Equal(t, "after 2 of 7 bytes of Query number 2 to server, connection 1", bytes.Hits()[0].String())
		select {
		case <-each.Done():
			t.Fatal("done without having acted")
		default:
		}
		_, err := ask(second, "x")
		require.NoError(t, err)
		<-each.Done()
		require.Equal(t, int64(2), each.Hits()[0].Conn)
	})
}

// session opens a session and leaves it open to the end of the test.
func (b *bench) session(t *testing.T) *pgproto3.Frontend {
	t.Helper()
	_, frontend := b.raw(t)
	return frontend
}

// TestEndAndThawOfOneRule stops two connections by two rules: each rule's calls
// are about its own.
func TestEndAndThawOfOneRule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := inMemory(t)
		_, doomed := b.raw(t)
		_, lucky := b.raw(t)
		var rules []*faultproxy.Armed
		for conn := int64(1); conn <= 2; conn++ {
			rules = append(rules, b.MustAdd(faultproxy.Rule{
				Direction: faultproxy.ToServer, Type: 'Q', Action: faultproxy.Hold,
				Match: func(m faultproxy.Message) bool { return m.Conn == conn },
			}))
		}
		time.AfterFunc(time.Second, func() { <-rules[0].Done(); rules[0].End(faultproxy.Reset) })
		time.AfterFunc(time.Minute, func() { <-rules[1].Done(); rules[1].Thaw() })
		began := time.Now()
		_, err := ask(doomed, "x")
		require.Error(t, err)
		require.Equal(t, time.Second, time.Since(began))
		_, err = ask(lucky, "y")
		require.NoError(t, err)
		require.Equal(t, time.Minute, time.Since(began))
		require.EqualValues(t, 1, b.Stats().Reset)
		require.Equal(t, []string{"y"}, b.server.texts())
		rules[1].End(faultproxy.Cut)
		synctest.Wait()
		require.Zero(t, b.Stats().Open)
		require.EqualValues(t, 1, b.Stats().Cut)
	})
}

// TestLosingTheAnswerToAnEncryptionRequest covers the actions that need no
// server, because the proxy itself refuses encryption.
func TestLosingTheAnswerToAnEncryptionRequest(t *testing.T) {
	for action, cut := range map[faultproxy.Action]bool{faultproxy.Drop: false, faultproxy.DropReply: false, faultproxy.CutReply: true} {
		t.Run(action.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newTalk(t)
				armed := k.proxy.MustAdd(faultproxy.Rule{Direction: faultproxy.ToServer, Type: faultproxy.SSLRequest, Action: action})
				k.start()
				<-armed.Done()
				synctest.Wait()
				require.Empty(t, k.client.bytes())
				require.Equal(t, cut, k.proxy.Stats().Open == 0)
			})
		})
	}
}

// TestDoneWhenTheConnectionEndsFirst: whoever waits for a rule isn't left
// waiting by a connection that ended before the rule could act.
func TestDoneWhenTheConnectionEndsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := inMemory(t)
		b.SetLatency(faultproxy.ToServer, time.Hour)
		armed := b.MustAdd(faultproxy.Rule{Direction: faultproxy.ToServer, Type: faultproxy.Startup, Action: faultproxy.Cut})
		conn, err := b.front.dial(t.Context())
		require.NoError(t, err)
		startup, err := (&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "x"}}).Encode(nil)
		require.NoError(t, err)
		_, err = conn.Write(startup)
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, 1, armed.Fired())
		select {
		case <-armed.Done():
			t.Fatal("the rule acts in an hour")
		default:
		}
		b.ResetAll()
		<-armed.Done()
		require.Zero(t, b.Stats().Cut)
	})
}

func TestNames(t *testing.T) {
	require.Equal(t, "Sync", faultproxy.TypeName(faultproxy.ToServer, 'S'))
	require.Equal(t, "ParameterStatus", faultproxy.TypeName(faultproxy.ToClient, 'S'))
	require.Equal(t, "any message", faultproxy.TypeName(faultproxy.ToClient, faultproxy.AnyType))
	require.Equal(t, `message '!'`, faultproxy.TypeName(faultproxy.ToServer, '!'))
	require.Equal(t, "Query", faultproxy.Message{Direction: faultproxy.ToServer, Type: 'Q'}.String())
	require.Equal(t, "observe", faultproxy.Observe.String())
}
