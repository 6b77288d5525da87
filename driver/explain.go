package driver

import (
	"database/sql"
	"errors"

	"github.com/anywriter/anywriter/cluster"
)

// Explanation says what the driver did with a statement and why; see
// cluster.Explanation. Print it with its String method.
type Explanation = cluster.Explanation

// Explain explains the last statement of a checkout: its class, the nodes among
// which the driver could choose and why it took the one, the attempts, the
// outcome, and the state of the session. It asks no server and changes nothing.
// Statements of the *sql.DB itself have no *sql.Conn to ask; their errors are
// explained by ExplainError.
func Explain(conn *sql.Conn) (Explanation, error) {
	var x Explanation
	err := conn.Raw(func(dc any) error {
		c, ok := dc.(interface{ Explain() Explanation })
		if !ok {
			return errors.New("anywriter: Explain: this *sql.Conn doesn't show a connection of the anywriter driver")
		}
		x = c.Explain()
		return nil
	})
	return x, err
}

// Explain implements what the function Explain looks for, also behind a driver
// that wraps this one.
func (c *conn) Explain() Explanation { return c.session.Explain() }

// ExplainError explains the statement that ended in an error of the driver's,
// wrapped or not; it reports false for any other error.
func ExplainError(err error) (Explanation, bool) { return cluster.ExplainError(err) }
