package hotrow

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRow(t *testing.T) {
	for detail, want := range map[string]string{
		`Conflict on table "accounts", key (id)=(7): transaction 2.1/99 is committing it.`:                                          `table "accounts", key (id)=(7)`,
		`Conflict on table "accounts", key (id)=(7): transaction 2.1/99 committed it at LSN 17.`:                                    `table "accounts", key (id)=(7)`,
		`Conflict on table "app.a", key (a, b)=(1, x): y): the transaction at LSN 8 committed it, and this one reads at LSN 7.`:     `table "app.a", key (a, b)=(1, x): y)`,
		`Conflict on table "log", row 00ff: it was committed after LSN 8, which this transaction reads at.`:                         `table "log", row 00ff`,
		`Conflict on relation "accounts": transaction 2.1/99 is committing it.`:                                                     "",
		`The transaction began too long ago to tell whether table "a", key (id)=(7) has changed since: what happened is forgotten.`: "",
		"no majority of votes": "",
		"Reason code: Canceled on identification as a pivot, during write.": "",
		`Conflict on table "a", key (id)=(7)`:                               "",
		`Conflict on `:                                                      "",
		"":                                                                  "",
		`Conflict on table "a", key (t)=(` + strings.Repeat("x", maxRow) + `): transaction 1.1/1 is committing it.`: "",
	} {
		assert.Equal(t, want, Row(detail), detail)
	}
}

func FuzzRow(f *testing.F) {
	f.Add(`Conflict on table "accounts", key (id)=(7): transaction 2.1/99 is committing it.`)
	f.Fuzz(func(t *testing.T, detail string) {
		if row := Row(detail); row != "" && (len(row) > maxRow || !strings.HasPrefix(detail, "Conflict on "+row+": ")) {
			t.Errorf("%q from %q", row, detail)
		}
	})
}

func TestOp(t *testing.T) {
	type id int64
	m := New()
	same := func(args ...any) Op { return m.Op(true, "select", args) }
	different := []Op{
		same(), same(nil), same(1), same(2), same("1"), same([]byte("1")), same(1, 2), same(12),
		same("a", "b"), same("ab", ""), same([]byte("a"), []byte("b")), same(true), same(1.0), same([16]byte{1}),
		same(time.Unix(1, 0)), m.Op(true, "select ", nil), m.Op(false, "select", nil),
	}
	seen := make(map[Op]int)
	for i, op := range different {
		assert.NotZero(t, op, i)
		assert.NotContains(t, seen, op, "%d and %d", i, seen[op])
		seen[op] = i
	}
	assert.Equal(t, same(1), same(id(1)), "it is the same to the server")
	assert.Equal(t, same("a", 7, []byte("x"), time.Unix(5, 0)), same("a", 7, []byte("x"), time.Unix(5, 0).UTC()))
	for _, a := range []any{&m, []int{1}, map[string]int{}, struct{ x any }{[]int{}}, [1]any{1}, func() {}} {
		assert.Zero(t, same(a), "%T", a)
	}
	assert.Zero(t, (*Memory)(nil).Op(true, "select", nil))
}

func TestMemoryForgets(t *testing.T) {
	m := New()
	now := time.Unix(100, 0)
	assert.Empty(t, m.Recall(7, now))
	m.Learn(7, "a", now)
	m.Learn(7, "b", now)
	assert.Equal(t, "b", m.Recall(7, now.Add(Age-1)), "the last conflict counts")
	assert.Equal(t, 1, m.Len())
	m.Renew(7, now.Add(Age-1))
	assert.Equal(t, "b", m.Recall(7, now.Add(2*Age-2)))
	assert.Empty(t, m.Recall(7, now.Add(2*Age-1)), "its time is over")
	m.Renew(7, now)
	assert.Empty(t, m.Recall(7, now))
	assert.Zero(t, m.Len())
	m.Learn(0, "a", now)
	m.Learn(8, "", now)
	assert.Zero(t, m.Len(), "nothing is learned of nothing")

	var none *Memory
	none.Learn(7, "a", now)
	none.Renew(7, now)
	assert.Empty(t, none.Recall(7, now))
	assert.Zero(t, none.Len())
}

func TestMemoryIsBounded(t *testing.T) {
	m := New()
	now := time.Unix(100, 0)
	for i := range 3 * Size {
		m.Learn(Op(i+1), fmt.Sprint(i), now)
		assert.Equal(t, "0", m.Recall(1, now), "what is used stays")
	}
	assert.Equal(t, Size, m.Len())
	assert.Len(t, m.known, Size)
	assert.Empty(t, m.Recall(2, now))
	assert.Equal(t, fmt.Sprint(3*Size-1), m.Recall(3*Size, now))
}

func TestMemoryTogether(t *testing.T) {
	m := New()
	var running sync.WaitGroup
	for g := range 8 {
		running.Go(func() { // ends after its rounds
			for i := range 5000 {
				op := Op(1 + (g*31+i)%(2*Size))
				m.Learn(op, fmt.Sprint(op), time.Now())
				m.Renew(op, time.Now())
				if row := m.Recall(op, time.Now()); row != "" {
					assert.Equal(t, fmt.Sprint(op), row)
				}
			}
		})
	}
	running.Wait()
	assert.Equal(t, Size, m.Len())
}
