package bundle

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
)

// errAnswers is an answer that doesn't fit the questions.
var errAnswers = errors.New("the server's answers don't match what was sent")

// Bundle is the commands that travel together on one server connection, and then
// their answers. It is used again for as long as the connection lives, and
// belongs to whoever uses that. Create it with New.
//
// It is a pgconn.Batch and not a pgconn.Pipeline, because a pipeline keeps lists
// of what was sent: for BEGIN and a statement it makes fifteen allocations, more
// than everything else in a transaction of this driver's.
type Bundle struct {
	conn    *pgconn.PgConn
	first   string       // the command that the last bundle began with
	begun   pgconn.Batch // has only that; copies of it are filled up
	batch   pgconn.Batch
	answers *pgconn.MultiResultReader
	refusal *pgconn.PgError // the first one
}

// New returns the empty bundle of a connection, whose OnPgError must call
// Refused.
func New(conn *pgconn.PgConn) *Bundle { return &Bundle{conn: conn} }

// Start makes a new bundle of one command without parameters, or an empty one if
// that is "".
func (b *Bundle) Start(command string) {
	b.batch, b.answers, b.refusal = pgconn.Batch{}, nil, nil
	if command == "" {
		return
	}
	if b.first != command {
		b.first, b.begun = command, pgconn.Batch{}
		b.begun.ExecParams(command, nil, nil, nil, nil)
	}
	b.batch = b.begun
}

// Command adds a command without parameters.
func (b *Bundle) Command(sql string) { b.Params(sql, nil, nil, nil, nil) }

// Params adds a statement as pgconn's ExecParams sends it.
func (b *Bundle) Params(sql string, values [][]byte, oids []uint32, formats, results []int16) {
	b.batch.ExecParams(sql, values, oids, formats, results)
}

// Statement adds a prepared statement as pgconn's ExecStatement sends it.
func (b *Bundle) Statement(desc *pgconn.StatementDescription, values [][]byte, formats, results []int16) {
	b.batch.ExecStatement(desc, values, formats, results)
}

// Send sends the bundle. After an error there are no answers.
func (b *Bundle) Send(ctx context.Context) error {
	busy := b.conn.IsBusy()
	b.answers = b.conn.ExecBatch(ctx, &b.batch)
	b.batch = pgconn.Batch{}
	if busy || !b.conn.IsBusy() {
		return b.answers.Close()
	}
	return nil
}

// Next returns the next command's answer, which must be closed before anything
// else is asked of the bundle. An error is the command's, or that of one before
// it, and ends the exchange.
func (b *Bundle) Next() (*pgconn.ResultReader, error) {
	if b.answers.NextResult() {
		return b.answers.ResultReader(), nil
	}
	if err := b.End(); err != nil {
		return nil, err
	}
	return nil, errAnswers
}

// Tag reads the next command's answer to its end, for the command tag.
func (b *Bundle) Tag() (pgconn.CommandTag, error) {
	answer, err := b.Next()
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	tag, err := answer.Close()
	if err != nil {
		_ = b.End() // repeats err
	}
	return tag, err
}

// End reads what is left of the answers and returns the first error among all of
// them. It may be called more than once.
func (b *Bundle) End() error {
	err := b.answers.Close()
	if err != nil && b.refusal != nil {
		// pgconn reports the last error: that of a connection which broke after
		// the server had said why it does nothing.
		return b.refusal
	}
	return err
}

// Refused notes an error that the server has sent.
func (b *Bundle) Refused(err *pgconn.PgError) {
	if b.refusal == nil {
		b.refusal = err
	}
}
