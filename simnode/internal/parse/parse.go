package parse

import (
	"errors"
	"strings"
	"unicode/utf8"

	pgquery "github.com/pganalyze/pg_query_go/v6"

	"github.com/anywriter/anywriter/simnode/internal/ast"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
)

// maxTextBytes bounds a query string: the grammar's tree takes some hundred
// times the size of its text, and an INSERT of 1 MiB is far beyond what tests
// send. PostgreSQL itself stops at 1 GiB.
const maxTextBytes = 16 << 20

// grammarError is what either build of the grammar reports about a text.
type grammarError struct {
	message  string
	position int // 1-based, in characters, 0 if unknown
}

func (e *grammarError) Error() string { return e.message }

// Parse splits a query string into its statements and translates each. A text
// without statements (empty, or comments only) gives none. A statement that is
// well formed but not supported comes back as *ast.Unsupported, so that those
// before it still run. The error is a *sqlerr.Error: 42601 and its kin for text
// that is not SQL. Safe for concurrent use.
func Parse(text string) ([]ast.Statement, error) {
	if stmts, ok := probe(text); ok {
		return stmts, nil
	}
	return parse(text)
}

// parse is Parse by the grammar.
func parse(text string) ([]ast.Statement, error) {
	if err := checkText(text); err != nil {
		return nil, err
	}
	if err := checkDepth(text); err != nil {
		return nil, err
	}
	tree, err := grammar(text)
	if err != nil {
		return nil, textError(err)
	}
	out := make([]ast.Statement, 0, len(tree.Stmts))
	for _, raw := range tree.Stmts {
		stmt, err := translate(text, raw)
		if err != nil {
			return nil, err
		}
		out = append(out, stmt)
	}
	return out, nil
}

func checkText(text string) error {
	if len(text) > maxTextBytes {
		return sqlerr.New("54000", "query string of %d bytes is longer than the %d bytes that the simulated cluster takes", len(text), maxTextBytes)
	}
	if i := strings.IndexByte(text, 0); i >= 0 {
		return sqlerr.New("22021", "invalid byte sequence for encoding \"UTF8\": 0x00")
	}
	if !utf8.ValidString(text) {
		return sqlerr.New("22021", "invalid byte sequence for encoding \"UTF8\"")
	}
	return nil
}

func textError(err error) error {
	e := (*grammarError)(nil)
	if !errors.As(err, &e) {
		// The tree did not survive its transport: too deeply nested for it.
		return sqlerr.New("54001", "stack depth limit exceeded")
	}
	return sqlerr.New(codeOf(e.message), "%s", e.message).At(int32(max(e.position, 0)))
}

// codeOf gives the SQLSTATE of a message of the grammar. The two builds report
// the message only; nearly all of them are syntax errors.
func codeOf(message string) string {
	switch {
	case strings.Contains(message, "Unicode"):
		return "22025"
	case strings.Contains(message, "stack depth limit"):
		return "54001"
	case strings.Contains(message, "not supported"), strings.Contains(message, "not yet implemented"):
		return "0A000"
	case strings.HasPrefix(message, "out of memory"):
		return "53200"
	case strings.Contains(message, "unsafe use of string constant"), strings.Contains(message, "unsafe use of \\'"):
		return "22P06"
	default:
		return "42601"
	}
}

func translate(text string, raw *pgquery.RawStmt) (ast.Statement, error) {
	begin := int(raw.StmtLocation)
	end := len(text)
	if raw.StmtLen > 0 {
		end = begin + int(raw.StmtLen)
	}
	if begin < 0 || end > len(text) || begin > end {
		return ast.Statement{}, sqlerr.New("XX000", "statement lies outside its query string")
	}
	t := &translator{text: text, ascii: isASCII(text)}
	node, kind := t.command(raw.Stmt)
	if t.err != nil {
		if t.err.Code != "0A000" {
			return ast.Statement{}, t.err
		}
		node, kind = &ast.Unsupported{Err: t.err}, ast.KindUnsupported
	}
	body := text[begin:end]
	lead := len(body) - len(strings.TrimLeft(body, " \t\r\n\f"))
	return ast.Statement{
		Text:   strings.TrimSpace(body),
		Offset: begin + lead,
		Kind:   kind,
		Params: t.params,
		Node:   node,
	}, nil
}

func isASCII(text string) bool {
	for i := 0; i < len(text); i++ {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
