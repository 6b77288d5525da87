package dsn

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The values of balancer that need more keys.
const (
	byWeight = "weighted"
	byZone   = "zone"
)

// maxWeight bounds a weight: a node that should get less than a thousandth of
// what another one gets is better left out.
const maxWeight = 1000

// balanceKeys holds the keys that say how the node for an operation is picked.
func balanceKeys() []Key {
	return []Key{
		nameKey("balancer", []string{
			"p2c", "least_inflight", "round_robin", byWeight, "random", byZone, "affinity",
		}, "p2c", "How the node for an operation is picked; see [docs/balancing.md](docs/balancing.md).",
			func(s *Settings) *string { return &s.Balancer }),
		{
			Name: "weights", Type: "list of whole numbers", Default: "none",
			Range: fmt.Sprintf("1 to %d, one for each host", maxWeight),
			Doc:   "How much of the operations each host gets with balancer=weighted: 3,1,1 gives the first three fifths.",
			set: func(s *Settings, v string) bool {
				s.Weights = nil
				for _, item := range list(v) {
					n, err := strconv.Atoi(item)
					if err != nil {
						n = 0 // which isn't allowed
					}
					s.Weights = append(s.Weights, n)
				}
				return badWeight(s) == 0
			},
			valid: func(s *Settings) bool { return badWeight(s) == 0 },
			flaw: func(s *Settings) string {
				return fmt.Sprintf("value %d of weights isn't a whole number from 1 to %d; allowed is such a number for each host, "+
					"separated by commas", badWeight(s), maxWeight)
			},
		},
		{
			Name: "zone", Type: "zone", Default: "none", Range: "one of zones",
			Doc: "The zone that the client is in, whose nodes balancer=zone prefers.",
			set: func(s *Settings, v string) bool {
				if s.Zone = v; v == "none" {
					s.Zone = ""
				}
				return v != "" && (s.Zone == "" || isZone(v))
			},
			valid: func(s *Settings) bool { return s.Zone == "" || isZone(s.Zone) },
			flaw:  func(*Settings) string { return "the value of zone must be one name" },
		},
		{
			Name: "zones", Type: "list of names", Default: "none", Range: "one for each host",
			Doc: "The zone that each host is in.",
			set: func(s *Settings, v string) bool {
				s.Zones = list(v)
				return badZone(s) == 0
			},
			valid: func(s *Settings) bool { return badZone(s) == 0 },
			flaw: func(s *Settings) string {
				return fmt.Sprintf("value %d of zones isn't a name; allowed is the name of a zone for each host, separated by commas", badZone(s))
			},
		},
	}
}

// list splits a value at its commas; none is the list without elements.
func list(v string) []string {
	if v == "none" {
		return nil
	}
	items := strings.Split(v, ",")
	for i := range items {
		items[i] = strings.TrimSpace(items[i])
	}
	return items
}

// badWeight returns the place of the first weight that isn't allowed, from 1, or
// zero.
func badWeight(s *Settings) int {
	return 1 + slices.IndexFunc(s.Weights, func(w int) bool { return w < 1 || w > maxWeight })
}

// badZone is badWeight for the names of zones.
func badZone(s *Settings) int {
	return 1 + slices.IndexFunc(s.Zones, func(name string) bool { return !isZone(name) })
}

// isZone reports whether name can be the name of a zone.
func isZone(name string) bool {
	return name != "" && name == strings.TrimSpace(name) && !strings.Contains(name, ",")
}

// CheckNodes checks the values that must agree with the number of nodes, and
// that the picker has what it needs. Parse doesn't: what a name leaves out may
// be set afterwards.
func (s *Settings) CheckNodes(nodes int) error {
	for _, l := range []struct {
		key    string
		values int
	}{{"weights", len(s.Weights)}, {"zones", len(s.Zones)}} {
		if l.values != 0 && l.values != nodes {
			return fmt.Errorf("dsn: the number of values of %s (%d) isn't that of the nodes (%d): there must be one for each host, "+
				"in their order; a host that is named twice counts once", l.key, l.values, nodes)
		}
	}
	switch {
	case s.Balancer == byWeight && len(s.Weights) == 0:
		return fmt.Errorf("dsn: balancer=%s needs weights: a whole number from 1 to %d for each host, in their order", byWeight, maxWeight)
	case s.Balancer == byZone && len(s.Zones) == 0:
		return fmt.Errorf("dsn: balancer=%s needs zones: the zone of each host, in their order", byZone)
	case s.Balancer == byZone && s.Zone == "":
		return fmt.Errorf("dsn: balancer=%s needs zone: the one of zones that the client is in", byZone)
	case s.Zone != "" && len(s.Zones) != 0 && !slices.Contains(s.Zones, s.Zone):
		return fmt.Errorf("dsn: no node is in the client's zone: the value of zone must be one of zones")
	}
	return nil
}

// Unused names what was given and has no effect, each in a sentence.
func (s *Settings) Unused() []string {
	var out []string
	if len(s.Weights) != 0 && s.Balancer != byWeight {
		out = append(out, "weights has no effect without balancer="+byWeight)
	}
	if (s.Zone != "" || len(s.Zones) != 0) && s.Balancer != byZone {
		out = append(out, "zone and zones have no effect without balancer="+byZone)
	}
	return out
}
