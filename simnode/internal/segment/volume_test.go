package segment

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/anywriter/anywriter/simnode/internal/evlog"
	"github.com/anywriter/anywriter/simnode/internal/fabric"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/volume"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// client speaks for one node: it collects what the volume sends to it.
type client struct {
	f    *fabric.Fabric
	addr fabric.Addr
	id   message.NodeID
	got  chan message.Message
}

func newClient(f *fabric.Fabric, id message.NodeID) *client {
	c := &client{f: f, id: id, addr: fabric.Addr{Kind: fabric.KindNode, ID: uint16(id)}, got: make(chan message.Message, 1<<16)}
	f.Attach(c.addr, func(_ fabric.Addr, payload []byte) {
		m, err := message.Decode(payload)
		if err != nil {
			panic(err)
		}
		if _, ok := m.(message.Release); !ok { // those are for a node to judge
			c.got <- m
		}
	})
	return c
}

func (c *client) send(to fabric.Addr, m message.Message) { c.f.Send(c.addr, to, message.Encode(m)) }

// fence starts life 1 of the node.
func (c *client) fence(t testing.TB) {
	c.send(HeadAddr(), message.FenceRequest{Node: c.id, BootID: uint64(c.id)})
	require.Equal(t, message.FenceReply{Node: c.id, Inc: 1, BootID: uint64(c.id), LSN: 1, OK: true}, <-c.got)
}

func (c *client) commit(seq uint64) message.Append {
	return message.Append{Record: message.Record{
		Kind:   message.RecordCommit,
		TxID:   message.TxID{Origin: c.id, Inc: 1, Seq: seq},
		Keys:   []message.KeyRef{{Key: message.Key(fmt.Sprint("key", seq)), Mode: message.ModeWritten}},
		Writes: []message.Write{{Table: 16384, Key: message.Key(fmt.Sprint("key", seq)), Row: make([]byte, 60)}},
		Votes:  []message.VoteRef{{Voter: c.id, Inc: 1, ConfigEpoch: 1}},
	}}
}

func (c *client) decided() message.Decided { return (<-c.got).(message.Decided) }

func bubble(t *testing.T, link fabric.Link, test func(t *testing.T, f *fabric.Fabric, v *Volume, c *client)) {
	synctest.Test(t, func(t *testing.T) {
		f := fabric.New(fabric.Config{Seed: 1, Link: link})
		defer f.Close()
		v, err := Start(Config{Fabric: f, Members: []message.NodeID{1}})
		require.NoError(t, err)
		defer v.Close()
		c := newClient(f, 1)
		c.fence(t)
		test(t, f, v, c)
	})
}

func TestAppends10k(t *testing.T) {
	bubble(t, fabric.Link{}, func(t *testing.T, f *fabric.Fabric, v *Volume, c *client) {
		const n = 10_000
		for seq := uint64(1); seq <= n; seq++ {
			c.send(HeadAddr(), c.commit(seq))
		}
		for seq := uint64(1); seq <= n; seq++ {
			d := c.decided()
			require.Equal(t, seq, d.TxID.Seq)
			require.Equal(t, message.LSN(seq+1), d.LSN)
			require.False(t, d.AllHolders)
			require.Empty(t, d.Holders)
		}
		assert.Equal(t, message.LSN(n+1), v.VDL())
		log := v.Log()
		require.Len(t, log, n+1)
		assert.Equal(t, message.RecordFence, log[0].Kind)
		synctest.Wait()
		v.Close()
		assert.Len(t, v.Log(), n+1, "a closed volume can be looked at")
		for _, s := range v.storage {
			require.Len(t, s.durable.Slots, n+1)
			for i := range log {
				r, ok := s.durable.Record(message.LSN(i + 1))
				require.True(t, ok)
				require.Equal(t, log[i], r)
			}
		}
	})
}

func TestAnAZDownAndOneMore(t *testing.T) {
	bubble(t, fabric.Link{Latency: time.Millisecond}, func(t *testing.T, f *fabric.Fabric, v *Volume, c *client) {
		require.NoError(t, v.StopAZ(2))
		start := time.Now()
		c.send(HeadAddr(), c.commit(1))
		assert.Equal(t, message.RecordCommit, c.decided().Kind)
		assert.Equal(t, 4*time.Millisecond, time.Since(start), "an AZ less must not be felt")

		require.NoError(t, v.StopStorage(1))
		require.NoError(t, v.StopStorage(1))
		c.send(HeadAddr(), c.commit(2))
		time.Sleep(10 * time.Second)
		assert.Empty(t, c.got, "three storage nodes are no write quorum")
		assert.Equal(t, message.LSN(2), v.VDL())
		assert.Equal(t, message.LSN(3), v.Tail())

		start = time.Now()
		require.NoError(t, v.StartStorage(2))
		assert.Equal(t, message.LSN(3), c.decided().LSN)
		assert.LessOrEqual(t, time.Since(start), 100*time.Millisecond)
		require.NoError(t, v.StartAZ(2))
		require.NoError(t, v.StartStorage(1))
		time.Sleep(time.Second)
		v.Close()
		for _, s := range v.storage {
			assert.Len(t, s.durable.Slots, 3, "storage node %d was not brought up to date", s.id)
		}
	})
}

// A storage node that missed a lot must catch up at the speed of the link, not of
// the retry.
func TestCatchUp(t *testing.T) {
	bubble(t, fabric.Link{Latency: time.Millisecond}, func(t *testing.T, f *fabric.Fabric, v *Volume, c *client) {
		const n = 5_000
		require.NoError(t, v.StopStorage(6))
		for seq := uint64(1); seq <= n; seq++ {
			c.send(HeadAddr(), c.commit(seq))
		}
		for range n {
			c.decided()
		}
		require.NoError(t, v.StartStorage(6))
		time.Sleep(500 * time.Millisecond)
		v.Close()
		assert.Len(t, v.storage[5].durable.Slots, n+1)
	})
}

func TestLossyLinks(t *testing.T) {
	link := fabric.Link{Latency: time.Millisecond, Jitter: 5 * time.Millisecond, Loss: 0.2, Duplicate: 0.2}
	bubble(t, fabric.Link{}, func(t *testing.T, f *fabric.Fabric, v *Volume, c *client) {
		for i := range message.StorageID(6) {
			f.SetLink(HeadAddr(), StorageAddr(i+1), link)
			f.SetLink(StorageAddr(i+1), HeadAddr(), link)
		}
		const n = 500
		for seq := uint64(1); seq <= n; seq++ {
			c.send(HeadAddr(), c.commit(seq))
		}
		for seq := uint64(1); seq <= n; seq++ {
			assert.Equal(t, message.LSN(seq+1), c.decided().LSN)
		}
		time.Sleep(30 * time.Second)
		v.Close()
		for _, s := range v.storage {
			assert.Len(t, s.durable.Slots, n+1)
		}
	})
}

func TestLeasesReleaseAndRestart(t *testing.T) {
	bubble(t, fabric.Link{}, func(t *testing.T, f *fabric.Fabric, v *Volume, c *client) {
		// Node 2 reads: three storage nodes grant.
		reader := newClient(f, 2)
		lease := func(id message.StorageID, req, nonce uint64) message.LeaseGrant {
			reader.send(StorageAddr(id), message.LeaseRequest{Node: 2, Inc: 1, ReqID: req, Nonce: nonce})
			return (<-reader.got).(message.LeaseGrant)
		}
		for id := message.StorageID(1); id <= 3; id++ {
			g := lease(id, 1, 0)
			assert.False(t, g.Refused)
			assert.Equal(t, message.LSN(1), g.Tail)
			again := lease(id, 2, 0)
			assert.True(t, again.Refused, "nothing was echoed")
			assert.Equal(t, g.Nonce, again.Nonce)
		}
		c.send(HeadAddr(), c.commit(1))
		d := c.decided()
		assert.Equal(t, []message.NodeID{2}, d.Holders)

		v.Release(2, 1)
		synctest.Wait()
		c.send(HeadAddr(), c.commit(2))
		d = c.decided()
		assert.Empty(t, d.Holders)
		assert.True(t, lease(1, 3, 0).Refused, "a life that has exited gets no lease")

		require.NoError(t, v.StopAZ(1))
		require.NoError(t, v.StartAZ(1))
		require.NoError(t, v.StopAZ(2))
		c.send(HeadAddr(), c.commit(3))
		assert.True(t, c.decided().AllHolders, "a restarted storage node can't know")
		time.Sleep(volume.LeaseWait)
		c.send(HeadAddr(), c.commit(4))
		assert.False(t, c.decided().AllHolders)
	})
}

// A node that does not answer may live: only its own supervisor ends its leases.
func TestReleaseIsBelievedFromTheSupervisorOnly(t *testing.T) {
	bubble(t, fabric.Link{}, func(t *testing.T, f *fabric.Fabric, v *Volume, c *client) {
		reader := newClient(f, 2)
		for id := message.StorageID(1); id <= 3; id++ {
			reader.send(StorageAddr(id), message.LeaseRequest{Node: 2, Inc: 1, ReqID: 1})
			assert.False(t, (<-reader.got).(message.LeaseGrant).Refused)
		}
		claim := message.Encode(message.Release{Node: 2, Inc: 1})
		for _, from := range []fabric.Addr{
			{Kind: fabric.KindNode, ID: 1},
			{Kind: fabric.KindNode, ID: 2},
			{Kind: fabric.KindSupervisor, ID: 1},
			{Kind: fabric.KindClient, ID: 2},
			HeadAddr(),
		} {
			for id := message.StorageID(1); id <= 6; id++ {
				f.Send(from, StorageAddr(id), claim)
			}
		}
		synctest.Wait()
		c.send(HeadAddr(), c.commit(1))
		assert.Equal(t, []message.NodeID{2}, c.decided().Holders)
		v.Release(2, 0)
		synctest.Wait()
		c.send(HeadAddr(), c.commit(2))
		assert.Equal(t, []message.NodeID{2}, c.decided().Holders, "no life was released")
	})
}

// A release reaches the storage and the other nodes although most messages of the
// supervisor are lost, and only for a moment.
func TestReleaseIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fabric.New(fabric.Config{Seed: 3})
		defer f.Close()
		v, err := Start(Config{Fabric: f, Members: []message.NodeID{1, 2, 3}})
		require.NoError(t, err)
		defer v.Close()
		heard := make(chan time.Duration, 8)
		began := time.Now()
		detach := f.Attach(fabric.Addr{Kind: fabric.KindNode, ID: 1}, func(fabric.Addr, []byte) { heard <- time.Since(began) })
		defer detach()
		undo := f.Isolate(fabric.Addr{Kind: fabric.KindSupervisor, ID: 3})
		v.Release(3, 1)
		time.Sleep(15 * time.Millisecond)
		assert.Empty(t, heard)
		undo()
		time.Sleep(time.Second)
		require.Len(t, heard, releaseCopies-2)
		assert.Less(t, <-heard, 25*time.Millisecond)
		v.Release(3, 2)
	})
}

func TestFrozenHeadAndGarbage(t *testing.T) {
	bubble(t, fabric.Link{}, func(t *testing.T, f *fabric.Fabric, v *Volume, c *client) {
		thaw := f.Freeze(HeadAddr())
		c.send(HeadAddr(), c.commit(1))
		time.Sleep(5 * time.Second)
		assert.Empty(t, c.got)
		thaw()
		assert.Equal(t, message.LSN(2), c.decided().LSN)
		for _, garbage := range [][]byte{nil, {0}, {255, 1, 2}, message.Encode(message.Abort{}), make([]byte, 100)} {
			f.Send(c.addr, HeadAddr(), garbage)
			f.Send(c.addr, StorageAddr(1), garbage)
		}
		c.send(HeadAddr(), message.Accepted{Storage: 9, Epoch: 1, LSN: 1 << 60})
		c.send(HeadAddr(), c.commit(2))
		assert.Equal(t, message.LSN(3), c.decided().LSN)
		assert.Equal(t, []message.NodeID{1}, v.Members())
		assert.Equal(t, volume.Life{Inc: 1, BootID: 1, LSN: 1}, v.Life(1))
	})
}

func TestBadConfigAndIDs(t *testing.T) {
	f := fabric.New(fabric.Config{})
	defer f.Close()
	one := []message.NodeID{1}
	for want, cfg := range map[string]Config{
		"Fabric is required":              {Members: one},
		"5 storage nodes were asked for":  {Fabric: f, Members: one, StorageNodes: 5},
		"7 AZs were asked for":            {Fabric: f, Members: one, AZs: 7},
		"at least one node":               {Fabric: f},
		"member 0 is not valid":           {Fabric: f, Members: []message.NodeID{0}},
		"member 2 is not valid: members ": {Fabric: f, Members: []message.NodeID{2, 2}},
	} {
		_, err := Start(cfg)
		require.ErrorContains(t, err, want)
	}
	log := evlog.New(0)
	v, err := Start(Config{Fabric: f, Members: one, Log: log})
	require.NoError(t, err)
	require.ErrorContains(t, v.StopStorage(7), "no storage node 7 (1 to 6 exist)")
	require.ErrorContains(t, v.StartStorage(0), "no storage node 0")
	require.ErrorContains(t, v.StartAZ(4), "no AZ 4 (1 to 3 exist)")
	require.NoError(t, v.StopAZ(3))
	require.NoError(t, v.StartStorage(3))
	v.Close()
	v.Close()
	var got []string
	for _, e := range log.Events() {
		got = append(got, e.Source+" "+e.Kind)
	}
	assert.Equal(t, []string{"storage/3 stop", "storage/6 stop", "storage/3 start"}, got)
}

func TestConcurrentUse(t *testing.T) {
	f := fabric.New(fabric.Config{})
	defer f.Close()
	v, err := Start(Config{Fabric: f, Members: []message.NodeID{1}})
	require.NoError(t, err)
	defer v.Close()
	c := newClient(f, 1)
	c.fence(t)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { // ends after its rounds
			for range 20 {
				assert.NoError(t, v.StopStorage(2))
				_, _, _, _ = v.VDL(), v.Tail(), v.Log(), v.Members()
				assert.NoError(t, v.StartStorage(2))
				v.Release(3, 1)
			}
		})
	}
	for seq := uint64(1); seq <= 200; seq++ {
		c.send(HeadAddr(), c.commit(seq))
		assert.Equal(t, message.LSN(seq+1), c.decided().LSN)
	}
	wg.Wait()
}

// BenchmarkAppend has 32 appends under way all the time, as a busy cluster does,
// and then one.
func BenchmarkAppend(b *testing.B) {
	for _, inFlight := range []int{1, 32} {
		b.Run(fmt.Sprint("in-flight=", inFlight), func(b *testing.B) {
			f := fabric.New(fabric.Config{})
			defer f.Close()
			v, err := Start(Config{Fabric: f, Members: []message.NodeID{1}})
			require.NoError(b, err)
			defer v.Close()
			c := newClient(f, 1)
			c.fence(b)
			seq := uint64(0)
			next := func() { seq++; c.send(HeadAddr(), c.commit(seq)) }
			for range inFlight - 1 {
				next()
			}
			b.ReportAllocs()
			for b.Loop() {
				next()
				c.decided()
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
		})
	}
}
