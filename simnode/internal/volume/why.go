package volume

import (
	"fmt"

	"github.com/anywriter/anywriter/simnode/internal/message"
)

// whyResolved is told to a transaction that someone else gave up on.
const whyResolved = "the transaction was settled as aborted before"

func whyEnded(id message.TxID) string {
	return fmt.Sprintf("incarnation %d of node %d has ended", id.Inc, id.Origin)
}

func whyVotes(counted, listed int, s *State) string {
	return fmt.Sprintf("%d of the %d votes listed count, %d are needed", counted, listed, s.majority())
}
