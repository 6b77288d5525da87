package outcome

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestOutcome(t *testing.T) {
	for name, c := range map[string]struct {
		scope  Scope
		events []Event
		want   Outcome
	}{
		"nothing happened":                             {Autocommit, nil, NotSent},
		"zero record":                                  {ScopeUnknown, nil, NotSent},
		"refused at connect":                           {Autocommit, []Event{EventRefused}, NotSent},
		"transaction refused at connect":               {Transaction, []Event{EventRefused}, NotSent},
		"autocommit, lost":                             {Autocommit, []Event{EventFlush}, CommitSent},
		"unknown scope, lost":                          {ScopeUnknown, []Event{EventFlush}, CommitSent},
		"autocommit, confirmed":                        {Autocommit, []Event{EventFlush, EventConfirmed}, Committed},
		"autocommit, complete but not ready":           {Autocommit, []Event{EventFlush, EventCommandComplete}, CommitSent},
		"autocommit, complete, then deferred error":    {Autocommit, []Event{EventFlush, EventCommandComplete, EventAborted}, DefinitelyAborted},
		"autocommit, complete, then ready":             {Autocommit, []Event{EventFlush, EventCommandComplete, EventConfirmed}, Committed},
		"autocommit, error":                            {Autocommit, []Event{EventFlush, EventAborted}, DefinitelyAborted},
		"autocommit, server in doubt":                  {Autocommit, []Event{EventFlush, EventInDoubt}, CommitSent},
		"autocommit, refused after the flush":          {Autocommit, []Event{EventFlush, EventRefused}, CommitSent},
		"autocommit, aborted, then in doubt":           {Autocommit, []Event{EventFlush, EventAborted, EventInDoubt}, CommitSent},
		"transaction, nothing sent":                    {Transaction, nil, NotSent},
		"transaction, lost before COMMIT":              {Transaction, []Event{EventFlush, EventFlush}, DefinitelyAborted},
		"transaction, error before COMMIT":             {Transaction, []Event{EventFlush, EventAborted}, DefinitelyAborted},
		"transaction, complete before COMMIT":          {Transaction, []Event{EventFlush, EventCommandComplete}, DefinitelyAborted},
		"transaction, in doubt before COMMIT":          {Transaction, []Event{EventFlush, EventInDoubt}, DefinitelyAborted},
		"transaction, COMMIT lost":                     {Transaction, []Event{EventFlush, EventFlushCommit}, CommitSent},
		"transaction, COMMIT confirmed":                {Transaction, []Event{EventFlush, EventFlushCommit, EventConfirmed}, Committed},
		"transaction, confirmed, then died":            {Transaction, []Event{EventFlush, EventFlushCommit, EventConfirmed, EventAborted}, Committed},
		"transaction, COMMIT refused by 40001":         {Transaction, []Event{EventFlush, EventFlushCommit, EventAborted}, DefinitelyAborted},
		"transaction, COMMIT answered 40003":           {Transaction, []Event{EventFlush, EventFlushCommit, EventInDoubt}, CommitSent},
		"transaction in one flush, lost":               {Transaction, []Event{EventFlushCommit}, CommitSent},
		"transaction in one flush, statement failed":   {Transaction, []Event{EventFlushCommit, EventAborted}, DefinitelyAborted},
		"transaction, statement complete, COMMIT lost": {Transaction, []Event{EventFlushCommit, EventCommandComplete}, CommitSent},
	} {
		t.Run(name, func(t *testing.T) {
			r := Record{Scope: c.scope}
			for _, e := range c.events {
				r = r.Step(e)
			}
			assert.Equal(t, c.want, r.Outcome())
		})
	}
}

func TestOutcomeMethods(t *testing.T) {
	assert.Equal(t, []bool{false, true, true, false, false}, []bool{
		Unknown.SafeToRepeat(), NotSent.SafeToRepeat(), DefinitelyAborted.SafeToRepeat(),
		CommitSent.SafeToRepeat(), Committed.SafeToRepeat(),
	})
	assert.True(t, CommitSent.Ambiguous())
	assert.False(t, Committed.Ambiguous())
	var zero Outcome
	assert.Equal(t, Unknown, zero)
}

func TestNames(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{NotSent.String(), "NotSent"},
		{DefinitelyAborted.String(), "DefinitelyAborted"},
		{CommitSent.String(), "CommitSent"},
		{Committed.String(), "Committed"},
		{Outcome(99).String(), "Unknown"},
		{Autocommit.String(), "Autocommit"},
		{Transaction.String(), "Transaction"},
		{Scope(9).String(), "ScopeUnknown"},
		{Refused.String(), "Refused"},
		{Incomplete.String(), "Incomplete"},
		{Aborted.String(), "Aborted"},
		{InDoubt.String(), "InDoubt"},
		{Confirmed.String(), "Confirmed"},
		{NoAnswer.String(), "NoAnswer"},
		{EventFlush.String(), "Flush"},
		{EventConfirmed.String(), "Confirmed"},
		{Event(99).String(), "None"},
	} {
		assert.Equal(t, c.want, c.got)
	}
}

// FuzzMachine holds what may never be said, whatever happens in which order.
func FuzzMachine(f *testing.F) {
	f.Add(byte(1), []byte{1, 4, 7})
	f.Add(byte(2), []byte{1, 2, 5})
	f.Add(byte(0), []byte{3, 1, 6})
	f.Fuzz(func(t *testing.T, scope byte, events []byte) {
		r := Record{Scope: Scope(scope % 3)}
		var flushed, commit, confirmed, aborted, doubt bool
		for _, b := range events {
			e := Event(b % 8)
			before := r
			r = r.Step(e)
			flushed = flushed || e == EventFlush || e == EventFlushCommit
			commit = commit || e == EventFlushCommit || flushed && r.Scope != Transaction
			confirmed = confirmed || e == EventConfirmed
			aborted = aborted || e == EventAborted
			doubt = doubt || e == EventInDoubt
			if before.Outcome() == Committed && r.Outcome() != Committed {
				t.Fatalf("%v took Committed back", e)
			}
		}
		got := r.Outcome()
		switch {
		case got == Unknown:
			t.Fatal("no verdict")
		case flushed && got == NotSent:
			t.Fatal("something was flushed, but NotSent")
		case !flushed && got != NotSent:
			t.Fatalf("nothing was flushed, but %v", got)
		case got == Committed && (!confirmed || !commit):
			t.Fatal("Committed without a confirmation or a commit")
		case commit && got == DefinitelyAborted && (!aborted || confirmed || doubt):
			t.Fatal("aborted without the server's word")
		}
	})
}
