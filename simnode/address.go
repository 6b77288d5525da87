package simnode

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"time"
)

// loopback is where nodes listen; the simulator is never reachable from outside.
const loopback = "127.0.0.1"

// The range that free ports are taken from. It lies below the range from which
// operating systems take the ports of outgoing connections, so that the port of
// a killed node is not lost to one of them before the node starts again.
const (
	firstFreePort = 10_000
	lastFreePort  = 29_999
)

// memoryPort is the port in the address of node 1 of a cluster without
// listeners. Nothing listens there; it is a name.
const memoryPort = 6432

// listen opens the TCP listener of every node: consecutive ports from first, or
// free ones if first is 0.
func listen(nodes, first int) (listeners []net.Listener, err error) {
	defer func() {
		if err != nil {
			for _, ln := range listeners {
				_ = ln.Close()
			}
			listeners = nil
		}
	}()
	for i := range nodes {
		var ln net.Listener
		if first == 0 {
			ln, err = listenFree()
		} else {
			ln, err = listenPort(first + i)
		}
		if err != nil {
			return listeners, fmt.Errorf("simnode: node %d: %w", i+1, err)
		}
		listeners = append(listeners, ln)
	}
	return listeners, nil
}

func listenPort(port int) (net.Listener, error) {
	return net.Listen("tcp", net.JoinHostPort(loopback, strconv.Itoa(port)))
}

// listenFree takes a free port of the range. Which one must differ between
// processes that start together, so it is the one draw that no seed decides.
func listenFree() (net.Listener, error) {
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), uint64(os.Getpid())))
	var errs []error
	for range 50 {
		ln, err := listenPort(firstFreePort + random.IntN(lastFreePort-firstFreePort+1))
		if err == nil {
			return ln, nil
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("no free port in 50 tries between %d and %d: %w", firstFreePort, lastFreePort, errors.Join(errs...))
}

func portOf(ln net.Listener) int {
	return ln.Addr().(*net.TCPAddr).Port
}
