package wire_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/session"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// fakeSession stands in for a session where only the connection is under test.
// Its statements are words:
//
//	one            a row with 1
//	rows N         N rows of 1 KiB
//	wait           until the statement is cancelled
//	fail, fatal    an error of that severity
//	notice         a notice
//	begin, commit  the status of ReadyForQuery
//	set NAME V     a reported setting
//	idle           the connection may now idle for a second only
type fakeSession struct {
	start    session.Startup
	status   byte
	prepared map[string]string
	portals  map[string]string
	params   []types.OID
	bound    []types.Datum
	changed  []session.Parameter
	idle     time.Duration
	waiting  chan<- string // gets "wait" when a statement begins to wait, "gone" when it ends
	closed   chan<- struct{}
}

func (f *fakeSession) Query(ctx context.Context, sql string, out session.Output) error {
	return f.run(ctx, sql, out, true)
}

func (f *fakeSession) run(ctx context.Context, sql string, out session.Output, describe bool) error {
	word, arg, _ := strings.Cut(strings.TrimSuffix(sql, ";"), " ")
	column := []session.Column{{Name: "?column?", Type: types.Int4, TypMod: -1}}
	switch word {
	case "":
		out.Empty()
		return nil
	case "one", "select":
		out.Begin(session.Result{Columns: column, Describe: describe})
		if err := out.Row(types.Row{int32(1)}); err != nil {
			return err
		}
		out.Complete("SELECT 1")
		return nil
	case "rows":
		return f.rows(arg, out, describe)
	case "wait":
		f.waiting <- "wait"
		<-ctx.Done()
		f.waiting <- "gone"
		return context.Cause(ctx)
	case "fail":
		return sqlerr.New("22012", "division by zero").WithDetail("d").WithHint("h").At(3)
	case "fatal":
		return sqlerr.Fatal("57P02", "crash")
	case "odd":
		return fmt.Errorf("not a SQL error")
	case "notice":
		f.start.Client.Notice(&sqlerr.Error{Severity: "NOTICE", Code: "00000", Message: "hello"})
	case "begin":
		f.status = 'T'
	case "commit":
		f.status = 'I'
	case "set":
		name, value, _ := strings.Cut(arg, " ")
		f.changed = append(f.changed, session.Parameter{Name: name, Value: value})
	case "idle":
		f.idle = time.Second
	}
	out.Complete(strings.ToUpper(word))
	return nil
}

func (f *fakeSession) rows(arg string, out session.Output, describe bool) error {
	var n int
	if _, err := fmt.Sscan(arg, &n); err != nil {
		return err
	}
	out.Begin(session.Result{Columns: []session.Column{{Name: "r", Type: types.Text, TypMod: -1}}, Describe: describe})
	row := types.Row{strings.Repeat("x", 1024)}
	for range n {
		if err := out.Row(row); err != nil {
			return err
		}
	}
	out.Complete(fmt.Sprintf("SELECT %d", n))
	return nil
}

func (f *fakeSession) Parse(_ context.Context, name, sql string, params []types.OID) error {
	if strings.HasPrefix(sql, "unparsable") {
		return sqlerr.New("42601", "syntax error")
	}
	f.prepared[name] = sql
	f.params = params
	return nil
}

func (f *fakeSession) Describe(_ context.Context, statement string) ([]types.OID, []session.Column, error) {
	if _, ok := f.prepared[statement]; !ok {
		return nil, nil, sqlerr.New("26000", "prepared statement \"%s\" does not exist", statement)
	}
	return append([]types.OID{}, f.params...), []session.Column{{Name: "?column?", Type: types.Int4, TypMod: -1}}, nil
}

func (f *fakeSession) ParamTypes(statement string) ([]types.OID, error) {
	if _, ok := f.prepared[statement]; !ok {
		return nil, sqlerr.New("26000", "prepared statement \"%s\" does not exist", statement)
	}
	return f.params, nil
}

func (f *fakeSession) Bind(_ context.Context, portal, statement string, params []types.Datum, _ []session.Format) error {
	f.portals[portal] = f.prepared[statement]
	f.bound = params
	return nil
}

func (f *fakeSession) DescribePortal(context.Context, string) ([]session.Column, []session.Format, error) {
	return nil, nil, nil
}

func (f *fakeSession) Execute(ctx context.Context, portal string, _ int, out session.Output) error {
	return f.run(ctx, f.portals[portal], out, false)
}

func (f *fakeSession) CloseStatement(name string)  { delete(f.prepared, name) }
func (f *fakeSession) ClosePortal(name string)     { delete(f.portals, name) }
func (f *fakeSession) Flush(context.Context) error { return nil }
func (f *fakeSession) Sync(context.Context) error  { return nil }
func (f *fakeSession) Fail()                       {}
func (f *fakeSession) Status() byte                { return f.status }
func (f *fakeSession) Style() session.Style        { return session.Style{Location: time.UTC, FloatDigits: 1} }
func (f *fakeSession) Close()                      { f.closed <- struct{}{} }

func (f *fakeSession) Changed() []session.Parameter {
	out := f.changed
	f.changed = nil
	return out
}

func (f *fakeSession) IdleTimeout() (time.Duration, *sqlerr.Error) {
	return f.idle, sqlerr.Fatal("57P05", "terminating connection due to idle-session timeout")
}
