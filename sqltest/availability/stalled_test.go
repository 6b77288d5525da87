//go:build unix

package availability_test

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/sqltest/availability"
)

// childDSN is the environment variable by which this test binary becomes a client
// of its own, which can be stopped without stopping the servers.
const childDSN = "ANYWRITER_TEST_CHILD_DSN"

// verdict is what the client has made of the nodes.
type verdict struct {
	Operations, Failed, Unknown int
	Cuts                        int64
	Stalls                      int64
	States                      []string // those that any node has had, but Up
}

// TestStalledClientBlamesNobody stops a client's process for three seconds, and
// starves another of CPU time, under load: all nodes are well, so none may be cut
// off and no operation may fail.
func TestStalledClientBlamesNobody(t *testing.T) {
	if dsn := os.Getenv(childDSN); dsn != "" {
		child(t, dsn)
		return
	}
	g := simTarget(t, false, "")
	t.Run("stopped", func(t *testing.T) {
		v := whileServersRun(t, g, func(client *os.Process, _ func(string)) {
			require.NoError(t, client.Signal(syscall.SIGSTOP))
			<-time.After(3 * time.Second)
			require.NoError(t, client.Signal(syscall.SIGCONT))
		})
		assert.Positive(t, v.Stalls, "the client has noticed")
	})
	t.Run("starved", func(t *testing.T) { // it takes all CPUs that it gets
		whileServersRun(t, g, func(_ *os.Process, say func(string)) {
			say("starve")
			<-time.After(3 * time.Second)
			say("enough")
		})
	})
}

// whileServersRun checks what a client says to which something is done while the servers
// run. Where these, which are in this process, have stood still as well, their silence
// says nothing about the client, and it is tried again.
func whileServersRun(t *testing.T, g *target, during func(client *os.Process, say func(line string))) verdict {
	t.Helper()
	for range 5 {
		late := lateness()
		v := loadedClient(t, g, during)
		if worst := late(); worst > serverStall {
			t.Logf("the servers stood still for %v: %+v", worst, v)
			continue
		}
		v.check(t)
		return v
	}
	t.Skip("this machine had no time for the servers either")
	return verdict{}
}

// serverStall is how late a timer of the servers' process may be for them to count as
// running.
const serverStall = 100 * time.Millisecond

// lateness watches how late timers of this process are, until the returned function is
// called, which returns the longest time.
func lateness() (stop func() time.Duration) {
	const every = 5 * time.Millisecond
	quit, worst := make(chan struct{}), make(chan time.Duration)
	go func() { // ends when stop is called
		longest := time.Duration(0)
		for {
			due := time.Now().Add(every)
			select {
			case <-quit:
				worst <- longest
				return
			case <-time.After(every):
				longest = max(longest, time.Since(due))
			}
		}
	}()
	return func() time.Duration {
		close(quit)
		return <-worst
	}
}

// loadedClient runs a client, does something to it in the middle of its load, and returns
// what it says in the end.
func loadedClient(t *testing.T, g *target, during func(client *os.Process, say func(line string))) verdict {
	t.Helper()
	g.empty(t)
	client := exec.Command(os.Args[0], "-test.run", "^TestStalledClientBlamesNobody$")
	client.Env = append(os.Environ(), childDSN+"="+g.dsn+g.patience)
	client.Stderr = os.Stderr
	in, err := client.StdinPipe()
	require.NoError(t, err)
	out, err := client.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, client.Start())
	t.Cleanup(func() {
		_ = client.Process.Signal(syscall.SIGCONT)
		_ = client.Process.Kill() // it has ended, if all went well
		_ = client.Wait()
	})
	say := func(line string) {
		_, err := fmt.Fprintln(in, line)
		require.NoError(t, err)
	}
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan() && lines.Text() == "loaded", "the client said %q", lines.Text())
	<-time.After(500 * time.Millisecond)
	during(client.Process, say)
	<-time.After(time.Second)
	say("end")
	var v verdict
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), "verdict "); ok {
			require.NoError(t, json.Unmarshal([]byte(text), &v))
		}
	}
	return v
}

// check holds that nobody was blamed.
func (v verdict) check(t *testing.T) {
	t.Helper()
	t.Logf("%+v", v)
	assert.Positive(t, v.Operations)
	assert.Zero(t, v.Failed)
	assert.Zero(t, v.Unknown)
	assert.Zero(t, v.Cuts)
	assert.NotContains(t, v.States, "Down")
}

// child is the client's side: it loads, does what it is told, and reports.
func child(t *testing.T, dsn string) {
	t.Helper()
	db, err := sql.Open(driver.Name, dsn)
	require.NoError(t, err)
	c := clusterOf(t, db)
	var mu sync.Mutex
	var states []string
	waitUp(t, c)
	defer c.Listen(statesInto(&mu, &states))()
	load, err := availability.NewLoad(availability.Config{DB: db, Deadline: 30 * time.Second})
	require.NoError(t, err)
	before := c.Stats()
	load.Start()
	fmt.Println("loaded")
	starving, enough := context.WithCancel(context.Background())
	defer enough()
	for told := bufio.NewScanner(os.Stdin); told.Scan() && told.Text() != "end"; {
		switch told.Text() {
		case "starve":
			for range 16 * runtime.GOMAXPROCS(0) {
				go func() { // ends when it was enough
					for starving.Err() == nil {
						continue // burn
					}
				}()
			}
		case "enough":
			enough()
		}
	}
	r, after := load.Stop(), c.Stats()
	v := verdict{
		Operations: len(r), Failed: r.Count(availability.Failed), Unknown: r.Count(availability.Unknown), Stalls: after.Stalls - before.Stalls,
	}
	for i := range after.Nodes {
		v.Cuts += after.Nodes[i].Cuts - before.Nodes[i].Cuts
	}
	mu.Lock()
	v.States = states
	mu.Unlock()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	fmt.Printf("verdict %s\n", text)
	require.NoError(t, db.Close())
}
