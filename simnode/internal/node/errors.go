package node

import (
	"fmt"

	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/origin"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
)

// errNotReady is what a node that can't serve says to every statement.
func errNotReady(why string) error {
	return sqlerr.New("57P03", "the database system is not accepting connections").WithDetail("%s", upperFirst(why)+".")
}

func upperFirst(s string) string {
	if s == "" || s[0] < 'a' || s[0] > 'z' {
		return s
	}
	return string(s[0]-'a'+'A') + s[1:]
}

// errEnded is what a session hears when its node is closed under it.
func errEnded() error {
	return sqlerr.Fatal("57P01", "terminating connection due to administrator command")
}

// errGone is errEnded for a commit that was under way.
func errGone() error {
	return sqlerr.Fatal("08007", "the outcome of the transaction is unknown: the node was stopped")
}

func errNoBlock(r *origin.Result) error {
	if r.Outcome == origin.Refused {
		return sqlerr.New("55000", "the storage refused a block of sequence values").WithDetail("%s", r.Why)
	}
	return errNotReady("the storage did not answer a request for sequence values")
}

// outcome turns the result of a commit into what the session returns.
func (n *Node) outcome(r *answer) (message.LSN, error) {
	switch r.Outcome {
	case origin.Committed:
		return r.LSN, nil
	case origin.Rejected:
		return 0, sqlerr.Conflict().WithDetail("%s", r.conflict())
	case origin.NoMajority:
		return 0, sqlerr.Conflict().WithDetail("no majority of votes")
	case origin.Refused:
		return 0, sqlerr.Conflict().WithDetail("the storage refused the transaction: %s", r.Why)
	case origin.Cancelled:
		return 0, sqlerr.New("57014", "canceling statement due to user request")
	default:
		return 0, sqlerr.New("40003", "the outcome of the transaction is unknown").
			WithDetail("Transaction %v was sent to the storage, which has not answered; it is still being resolved.", r.TxID)
	}
}

// conflict names what a transaction lost against: table, key and winner.
func (r *answer) conflict() string {
	switch r.Reason {
	case message.RejectTooOld:
		return fmt.Sprintf("The transaction began too long ago to tell whether %s has changed since: "+
			"what happened before LSN %d is forgotten.", r.key, r.WinnerLSN)
	case message.RejectReserved:
		return fmt.Sprintf("Conflict on %s: transaction %v is committing it.", r.key, r.Winner)
	default:
		winner := "another transaction"
		if !r.Winner.IsZero() {
			winner = fmt.Sprintf("transaction %v", r.Winner)
		}
		return fmt.Sprintf("Conflict on %s: %s committed it at LSN %d.", r.key, winner, r.WinnerLSN)
	}
}
