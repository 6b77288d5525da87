package evlog

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTextIsStable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(0)
		l.Add("sim", "start", "")
		time.Sleep(1234567 * time.Microsecond)
		l.Add("node/2", "kill", "the process is gone", F("inc", 3), F("why", "operator said so"))
		time.Sleep(20 * time.Minute)
		l.Add("a b", "x=y", "two\nlines", F("", ""), F("wait", 220*time.Millisecond))
		assert.Equal(t, `   0.000000 sim start
   1.234567 node/2 kill the process is gone inc=3 why="operator said so"
1201.234567 "a b" "x=y" "two\nlines" ""="" wait=220ms
`, l.Text())
	})
}

func TestRingKeepsTheNewest(t *testing.T) {
	l := New(3)
	assert.Empty(t, l.Events())
	for n := 1; n <= 11; n++ {
		l.Add("s", "k", fmt.Sprint(n))
		events := l.Events()
		require.Len(t, events, min(n, 3))
		for i, e := range events {
			want := n - len(events) + 1 + i
			assert.Equal(t, uint64(want), e.Seq)
			assert.Equal(t, fmt.Sprint(want), e.Text)
		}
	}
}

func TestSubscribersNeverHoldWritersUp(t *testing.T) {
	l := New(10)
	l.Add("s", "k", "before")
	slow, quick := l.Subscribe(0), l.Subscribe(5)
	for range 4 {
		l.Add("s", "k", "")
	}
	assert.Equal(t, uint64(3), slow.Lost())
	assert.Zero(t, quick.Lost())
	assert.Equal(t, uint64(2), (<-slow.Events()).Seq)
	l.Add("s", "k", "")
	assert.Equal(t, uint64(6), (<-slow.Events()).Seq)
	slow.Close()
	slow.Close()
	l.Add("s", "k", "")
	_, open := <-slow.Events()
	assert.False(t, open)
	quick.Close()
	var got []uint64
	for e := range quick.Events() {
		got = append(got, e.Seq)
	}
	assert.Equal(t, []uint64{2, 3, 4, 5, 6}, got)
	assert.Equal(t, uint64(1), quick.Lost())
}

func TestNilLog(t *testing.T) {
	var l *Log
	l.Add("s", "k", "")
	assert.Empty(t, l.Events())
	assert.Empty(t, l.Text())
	s := l.Subscribe(1)
	_, open := <-s.Events()
	assert.False(t, open)
	assert.Zero(t, s.Lost())
	s.Close()
}

func TestConcurrentUse(t *testing.T) {
	l := New(100)
	var writers, readers sync.WaitGroup
	for range 4 {
		s := l.Subscribe(10)
		readers.Go(func() { // ends with the subscription
			last, lastAt := uint64(0), time.Duration(0)
			for e := range s.Events() {
				assert.Greater(t, e.Seq, last)
				assert.GreaterOrEqual(t, e.At, lastAt)
				last, lastAt = e.Seq, e.At
			}
		})
		writers.Go(func() { // ends after its events
			defer s.Close()
			for range 500 {
				l.Add("s", "k", "text", F("a", 1))
				_ = s.Lost()
			}
			_ = l.Events()
		})
	}
	writers.Wait()
	readers.Wait()
	events := l.Events()
	require.Len(t, events, 100)
	for i, e := range events {
		assert.Equal(t, uint64(1901+i), e.Seq)
	}
}
