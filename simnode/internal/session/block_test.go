package session

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestBlock is the whole table of the transaction block: state and event on the
// left, what becomes of them on the right.
func TestBlock(t *testing.T) {
	describe := func(s stepped) string {
		text := s.next.String()
		if s.effect != effectNone {
			text += " " + s.effect.String()
		}
		if s.warning != nil {
			text += " warning " + s.warning.Code
		}
		if s.err != nil {
			text += " error " + s.err.Code
		}
		return text
	}
	table := map[block]map[blockEvent]string{
		blockIdle: {
			eventCommand: "single", eventSeries: "series", eventBegin: "open",
			eventCommit: "idle commit warning 25P01", eventRollback: "idle rollback warning 25P01",
			eventSavepoint: "idle error 25P01", eventRelease: "idle error 25P01", eventRollbackTo: "idle error 25P01",
			eventError: "idle rollback", eventEnd: "idle",
		},
		blockSingle: {
			eventCommand: "single", eventSeries: "series", eventBegin: "open",
			eventCommit: "idle commit warning 25P01", eventRollback: "idle rollback warning 25P01",
			eventSavepoint: "single error 25P01", eventRelease: "single error 25P01", eventRollbackTo: "single error 25P01",
			eventError: "idle rollback", eventEnd: "idle commit",
		},
		blockSeries: {
			eventCommand: "series", eventSeries: "series", eventBegin: "open",
			eventCommit: "idle commit warning 25P01", eventRollback: "idle rollback warning 25P01",
			eventSavepoint: "series error 25P01", eventRelease: "series error 25P01", eventRollbackTo: "series error 25P01",
			eventError: "idle rollback", eventEnd: "idle commit",
		},
		blockOpen: {
			eventCommand: "open", eventSeries: "open", eventBegin: "open warning 25001",
			eventCommit: "idle commit", eventRollback: "idle rollback",
			eventSavepoint: "open", eventRelease: "open", eventRollbackTo: "open",
			eventError: "failed", eventEnd: "open",
		},
		blockFailed: {
			eventCommand: "failed error 25P02", eventSeries: "failed error 25P02", eventBegin: "failed error 25P02",
			eventCommit: "idle rollback", eventRollback: "idle rollback",
			eventSavepoint: "failed error 25P02", eventRelease: "failed error 25P02", eventRollbackTo: "open",
			eventError: "failed", eventEnd: "failed",
		},
	}
	for b := blockIdle; b <= blockFailed; b++ {
		for e := eventCommand; e <= eventEnd; e++ {
			t.Run(fmt.Sprintf("%v/%v", b, e), func(t *testing.T) {
				require.Equal(t, table[b][e], describe(step(b, e)))
			})
		}
	}
}

// TestBlockErrorsAreCopies: a caller may complete an error without spoiling the
// next one.
func TestBlockErrorsAreCopies(t *testing.T) {
	_ = step(blockFailed, eventCommand).err.WithDetail("mine")
	require.Empty(t, step(blockFailed, eventCommand).err.Detail)
}
