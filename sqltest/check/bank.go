package check

import (
	"maps"
	"slices"

	"github.com/anywriter/anywriter/sqltest/history"
)

// BankFinal is what the bank's tables hold in the end.
type BankFinal struct {
	// Balances are the rows of accounts by id.
	Balances map[int]int64
	// Ledger are the rows of the ledger, in any order; one id may occur twice if
	// the database broke its own key.
	Ledger []Entry
}

// Entry is one row of the bank's ledger.
type Entry struct {
	ID       string
	From, To int
	Amount   int64
}

// BankRules say how a bank began and what its readers were promised.
type BankRules struct {
	// Accounts are numbered from 1 to Accounts and each began with Initial.
	Accounts int
	Initial  int64
	// Eventual leaves out StaleRead, for databases whose reads may lag.
	Eventual bool
}

// Bank holds a history of transfers and reads against the final tables.
func Bank(rules BankRules, ops []history.Op, final BankFinal) *Verdict {
	v := &Verdict{}
	v.count(ops)
	v.ledger(ops, final)
	v.books(rules, ops, final)
	constant := int64(rules.Accounts) * rules.Initial
	for _, op := range ofKind(ops, history.Total, -1) {
		if op.Outcome == history.OK && op.Value != constant {
			v.broken(TornRead, "%v, want %d", op, constant)
		}
	}
	if !rules.Eventual {
		one := func(bound int64, _ history.Op) int64 { return bound + 1 }
		v.growing(ofKind(ops, history.Count, -1), ofKind(ops, history.Transfer, -1), 0, one)
	}
	return v
}

// ledger compares each transfer with its row.
func (v *Verdict) ledger(ops []history.Op, final BankFinal) {
	rows := map[string][]Entry{}
	for _, entry := range final.Ledger {
		rows[entry.ID] = append(rows[entry.ID], entry)
	}
	for _, op := range ofKind(ops, history.Transfer, -1) {
		found := rows[op.ID]
		delete(rows, op.ID)
		switch {
		case len(found) > 1:
			v.broken(Double, "%v is in the ledger %d times", op, len(found))
		case len(found) == 0 && op.Outcome == history.OK:
			v.broken(Lost, "%v is not in the ledger", op)
		case len(found) == 1 && !op.Outcome.MayHaveHappened():
			v.broken(Ghost, "%v is in the ledger", op)
		case len(found) == 1 && op.Outcome != history.OK:
			v.UnknownApplied++
		case len(found) == 1 && found[0] != Entry{ID: op.ID, From: op.Key, To: op.To, Amount: op.Amount}:
			v.broken(Ghost, "%v is in the ledger as %+v", op, found[0])
		}
	}
	for _, id := range slices.Sorted(maps.Keys(rows)) {
		v.broken(Ghost, "the ledger has %+v, which nobody asked for", rows[id][0])
	}
}

// books replays the ledger and compares the balances.
func (v *Verdict) books(rules BankRules, ops []history.Op, final BankFinal) {
	deviation := map[int]int64{}
	var sum int64
	for id := 1; id <= rules.Accounts; id++ {
		deviation[id] = -rules.Initial
	}
	for id, balance := range final.Balances {
		deviation[id] += balance
		sum += balance
	}
	if want := int64(rules.Accounts) * rules.Initial; sum != want {
		v.broken(Conserved, "the balances add up to %d, want %d", sum, want)
	}
	if len(final.Balances) != rules.Accounts {
		v.broken(Books, "there are %d accounts, want %d", len(final.Balances), rules.Accounts)
	}
	for _, entry := range final.Ledger {
		deviation[entry.From] += entry.Amount
		deviation[entry.To] -= entry.Amount
	}
	maps.DeleteFunc(deviation, func(_ int, d int64) bool { return d == 0 })
	if len(deviation) == 0 {
		return
	}
	if v.explain(ops, deviation) {
		return
	}
	for _, id := range slices.Sorted(maps.Keys(deviation)) {
		v.broken(Books, "account %d has %d more than its ledger rows make", id, deviation[id])
	}
}

// explain looks for the one transfer whose second application, or whose loss,
// accounts for all deviations, to name the fault by its cause.
func (v *Verdict) explain(ops []history.Op, deviation map[int]int64) bool {
	if len(deviation) != 2 {
		return false
	}
	for _, op := range ofKind(ops, history.Transfer, -1) {
		from, to := deviation[op.Key], deviation[op.To]
		switch {
		case op.Key == op.To || op.Amount == 0 || from != -to:
		case to == op.Amount:
			v.broken(Double, "the balances hold %v once more than the ledger", op)
			return true
		case from == op.Amount:
			v.broken(Lost, "the ledger holds %v, the balances don't", op)
			return true
		}
	}
	return false
}
