package mvcc

import "github.com/anywriter/anywriter/simnode/internal/message"

// garbage is work that waits until no snapshot below lsn lives: old versions of a
// row, or a dropped table.
type garbage struct {
	lsn     message.LSN
	table   *tableData
	entry   *rowEntry
	dropped uint32 // OID of a table; 0 for versions
}

// gcPerApply bounds how long collecting can hold up one Apply: pruning a row takes
// about 1 µs, so 256 of them are a quarter of a millisecond. It is far above the
// number of rows that a usual record supersedes, so a backlog shrinks.
const gcPerApply = 256

// Horizon gives the oldest snapshot that a transaction still holds, Applied without
// any. Versions below it are garbage.
func (s *Store) Horizon() message.LSN {
	s.snapMu.Lock()
	defer s.snapMu.Unlock()
	horizon := s.Applied()
	for _, pin := range s.pins {
		horizon = min(horizon, pin)
	}
	return horizon
}

// Collect drops everything that no live snapshot can see and returns the number of
// rows and tables still waiting. Apply does the same in small steps.
func (s *Store) Collect() (waiting int) {
	s.applyMu.Lock()
	defer s.applyMu.Unlock()
	s.collect(len(s.garbage))
	return len(s.garbage)
}

// collect works off the queue, which is in LSN order; applyMu is held. A snapshot
// taken after the horizon was read is at Applied or above, so it is not below it.
func (s *Store) collect(limit int) {
	if len(s.garbage) == 0 {
		return
	}
	horizon := s.Horizon()
	done := 0
	for done < limit && done < len(s.garbage) && s.garbage[done].lsn <= horizon {
		g := s.garbage[done]
		if g.dropped != 0 {
			s.setTable(g.dropped, nil)
		} else {
			g.table.prune(g.entry, horizon)
		}
		s.garbage[done] = garbage{}
		done++
	}
	if s.garbage = s.garbage[done:]; len(s.garbage) == 0 {
		s.garbage = nil
	}
}
