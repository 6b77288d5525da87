package balancer

import (
	"fmt"
	"strings"
)

// DefaultName is the picker used when none is named: the only one of them that
// notices a slow node by itself.
const DefaultName = "p2c"

// Names returns the names that Parse knows, in the order of the documentation.
func Names() []string { return []string{"p2c", "round_robin"} }

// Parse returns the picker with the given name; the empty name means
// DefaultName. An unknown name is an error that lists all names.
func Parse(name string) (Picker, error) {
	switch name {
	case "", "p2c":
		return P2C{}, nil
	case "round_robin":
		return RoundRobin{}, nil
	default:
		return nil, fmt.Errorf("balancer: unknown picker %q; known are %s", name, strings.Join(Names(), ", "))
	}
}
