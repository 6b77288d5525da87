package mvcc

import (
	"sync/atomic"

	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// version is one committed state of a row, immutable but for the link to the state
// before it, which garbage collection cuts.
type version struct {
	lsn    message.LSN
	row    types.Row         // nil: the row is deleted
	tuples []string          // per secondary index, the row's tuple
	rel    *catalog.Relation // system table only: the decoded descriptor
	older  atomic.Pointer[version]
}

// rowEntry is a row's chain of versions, newest first.
type rowEntry struct {
	key    message.Key
	newest atomic.Pointer[version]
}

// at gives the state of the row at a snapshot, nil if it did not exist then.
func (r *rowEntry) at(snapshot message.LSN) *version {
	for v := r.newest.Load(); v != nil; v = v.older.Load() {
		if v.lsn <= snapshot {
			if v.row == nil {
				return nil
			}
			return v
		}
	}
	return nil
}
