package driver_test

import (
	"database/sql"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
)

// Only the server's word that COMMIT is complete makes it so: once it has been
// said nothing takes it back, and the end of the exchange alone says nothing.
func TestAnswersToCommit(t *testing.T) {
	done := func(tag string) *pgproto3.CommandComplete { return &pgproto3.CommandComplete{CommandTag: []byte(tag)} }
	ready := &pgproto3.ReadyForQuery{TxStatus: 'I'}
	refusal := &pgproto3.ErrorResponse{Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: "40001", Message: "conflict"}
	farewell := &pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: "57P01", Message: "goodbye"}
	for name, c := range map[string]struct {
		answer []pgproto3.BackendMessage
		want   driver.Outcome
		is     error
	}{
		"confirmed":                 {[]pgproto3.BackendMessage{done("COMMIT"), ready}, driver.Committed, nil},
		"confirmed, then cut off":   {[]pgproto3.BackendMessage{done("COMMIT")}, driver.Committed, nil},
		"confirmed, then a goodbye": {[]pgproto3.BackendMessage{done("COMMIT"), farewell}, driver.Committed, nil},
		"rolled back":               {[]pgproto3.BackendMessage{done("ROLLBACK"), ready}, driver.DefinitelyAborted, driver.ErrTxAborted},
		"rolled back, then cut off": {[]pgproto3.BackendMessage{done("ROLLBACK")}, driver.DefinitelyAborted, driver.ErrTxAborted},
		"refused":                   {[]pgproto3.BackendMessage{refusal, ready}, driver.DefinitelyAborted, nil},
		"cut off":                   {[]pgproto3.BackendMessage{}, driver.CommitSent, nil},
		"ended without an answer":   {[]pgproto3.BackendMessage{ready}, driver.CommitSent, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := &canned{clusterID: "c1", nodeID: "1", commit: c.answer}
			config, err := driver.ParseConfig(patient("postgres://u@one:1/db?sslmode=disable"))
			require.NoError(t, err)
			config.DialFunc = s.dial
			db := sql.OpenDB(driver.NewConnector(config))
			tx, err := db.Begin()
			require.NoError(t, err)
			_, err = tx.Exec("insert")
			require.NoError(t, err)
			err = tx.Commit()
			if c.want == driver.Committed {
				require.NoError(t, err)
			} else {
				require.Error(t, err)
				require.Equal(t, c.want, driver.OutcomeOf(err), "%v", err)
			}
			if c.is != nil {
				require.ErrorIs(t, err, c.is)
			}
			_, err = db.Exec("insert")
			require.NoError(t, err, "the next one isn't disturbed")
			require.NoError(t, db.Close())
			s.running.Wait()
		})
	}
}
