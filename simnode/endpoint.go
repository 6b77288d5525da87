package simnode

import (
	"fmt"

	"github.com/anywriter/anywriter/simnode/internal/fabric"
	"github.com/anywriter/anywriter/simnode/internal/segment"

	"github.com/anywriter/anywriter/simnode/internal/message"
)

// storageNodes is the number of storage nodes of the volume, in storageAZs
// availability zones. The quorums (4 to write, 3 to read) are made for it.
const (
	storageNodes = 6
	storageAZs   = 3
)

// clientID is the address that all clients of a simulated cluster share.
const clientID = 1

// Endpoint is one or more places on the simulated network, as Partition and
// SetLatency take them. The zero value is no place.
type Endpoint struct {
	name  string
	addrs []fabric.Addr
}

// String names the place, such as "node 2".
func (e Endpoint) String() string {
	if e.name == "" {
		return "nowhere"
	}
	return e.name
}

// AtNode is database node n, counted from 1.
func AtNode(n int) Endpoint {
	return Endpoint{fmt.Sprintf("node %d", n), []fabric.Addr{nodeAddr(n)}}
}

// AtClients is every client, on TCP and in memory.
func AtClients() Endpoint { return Endpoint{"clients", []fabric.Addr{clientAddr()}} }

// AtStorage is the whole volume: its head and all storage nodes.
func AtStorage() Endpoint {
	addrs := []fabric.Addr{segment.HeadAddr()}
	for id := range storageNodes {
		addrs = append(addrs, segment.StorageAddr(message.StorageID(id+1)))
	}
	return Endpoint{"storage", addrs}
}

// AtStorageNode is storage node n, 1 to 6, without the head.
func AtStorageNode(n int) Endpoint {
	return Endpoint{fmt.Sprintf("storage node %d", n), []fabric.Addr{segment.StorageAddr(message.StorageID(n))}}
}

func nodeAddr(n int) fabric.Addr {
	return fabric.Addr{Kind: fabric.KindNode, ID: uint16(n)}
}

func clientAddr() fabric.Addr {
	return fabric.Addr{Kind: fabric.KindClient, ID: clientID}
}

func addresses(places []Endpoint) []fabric.Addr {
	var out []fabric.Addr
	for _, place := range places {
		out = append(out, place.addrs...)
	}
	return out
}
