package sqlstate

import "strings"

// Dialect is what the errors of one engine mean where that differs from
// PostgreSQL. The zero value is PostgreSQL. It is a value: share it freely, and
// don't change what Conflicts refers to.
type Dialect struct {
	// Conflicts are codes that mean what 40001 means, as an SQLSTATE or, in
	// parentheses, in an error's message.
	Conflicts []string
	// FaultsInDoubt is set if an error of class 58 or XX that answers a commit
	// (an explicit one, or that of a statement outside a transaction) may also
	// come after the commit: a time-out between nodes, for example.
	FaultsInDoubt bool
}

// isConflict finds the dialect's own codes.
func (d *Dialect) isConflict(f Facts) bool {
	if d == nil {
		return false
	}
	for _, code := range d.Conflicts {
		if f.Code == code || strings.Contains(f.Message, "("+code+")") {
			return true
		}
	}
	return false
}

// faultInDoubt reports whether a fault may hide a commit.
func (d *Dialect) faultInDoubt(f Facts) bool {
	return d != nil && d.FaultsInDoubt && (f.Phase == PhaseCommit || !f.InTx)
}
