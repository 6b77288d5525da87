package fabric

import (
	"fmt"
	"strconv"
	"strings"
)

// Kind says what stands at an address.
type Kind uint8

// The kinds of address. The zero value is not a valid kind.
const (
	KindUnknown    Kind = iota
	KindNode            // a database node
	KindHead            // the volume's head
	KindStorage         // a storage node of the volume
	KindClient          // an application
	KindSupervisor      // the host's process supervisor
)

// String gives the lower-case name, such as "node".
func (k Kind) String() string {
	switch k {
	case KindNode:
		return "node"
	case KindHead:
		return "head"
	case KindStorage:
		return "storage"
	case KindClient:
		return "client"
	case KindSupervisor:
		return "supervisor"
	default:
		return "unknown"
	}
}

// Addr is a place on the fabric. It is comparable and also a net.Addr, so it
// stands as LocalAddr and RemoteAddr of in-memory connections.
type Addr struct {
	Kind Kind
	ID   uint16
}

// Network gives "fabric".
func (a Addr) Network() string { return "fabric" }

// String gives the form that ParseAddr reads, such as "node/2".
func (a Addr) String() string { return a.Kind.String() + "/" + strconv.Itoa(int(a.ID)) }

// ParseAddr reads the form of Addr.String, for callers that get an address as
// text, such as the DialFunc of a client sending a cancel request.
func ParseAddr(s string) (Addr, error) {
	kind, id, ok := strings.Cut(s, "/")
	n, err := strconv.ParseUint(id, 10, 16)
	if !ok || err != nil {
		return Addr{}, fmt.Errorf("fabric address %q is not of the form kind/number, such as node/2", s)
	}
	for k := KindNode; k <= KindSupervisor; k++ {
		if k.String() == kind {
			return Addr{Kind: k, ID: uint16(n)}, nil
		}
	}
	return Addr{}, fmt.Errorf("fabric address %q has an unknown kind (node, head, storage, client and supervisor exist)", s)
}

// linkKey is both addresses of a direction in one word: a cheap map key.
type linkKey uint64

func keyOf(from, to Addr) linkKey {
	return linkKey(from.Kind)<<48 | linkKey(from.ID)<<32 | linkKey(to.Kind)<<16 | linkKey(to.ID)
}
