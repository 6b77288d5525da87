package balancer

import (
	"fmt"
	"strings"
)

// DefaultName is the picker used when none is named: it needs no configuration
// and weighs both how busy a node is and how slow.
const DefaultName = "p2c"

// Names returns the names that Parse knows, in the order of the documentation.
func Names() []string {
	return []string{"p2c", "least_inflight", "round_robin", "weighted", "random", "zone", "affinity"}
}

// Parse returns the picker with the given name; the empty name means
// DefaultName. An unknown name is an error that lists all names.
func Parse(name string) (Picker, error) {
	switch name {
	case "", "p2c":
		return P2C{}, nil
	case "least_inflight":
		return LeastInFlight{}, nil
	case "round_robin":
		return RoundRobin{}, nil
	case "weighted":
		return Weighted{}, nil
	case "random":
		return Random{}, nil
	case "zone":
		return Zone{}, nil
	case "affinity":
		return Affinity{}, nil
	default:
		return nil, fmt.Errorf("balancer: unknown picker %q; known are %s", name, strings.Join(Names(), ", "))
	}
}
