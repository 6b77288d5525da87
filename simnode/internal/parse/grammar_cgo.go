//go:build cgo

package parse

import (
	"errors"

	pgquery "github.com/pganalyze/pg_query_go/v6"
	"github.com/pganalyze/pg_query_go/v6/parser"
)

// grammar parses text with the C build of the grammar.
func grammar(text string) (*pgquery.ParseResult, error) {
	tree, err := pgquery.Parse(text)
	if e := (*parser.Error)(nil); errors.As(err, &e) {
		return nil, &grammarError{message: e.Message, position: e.Cursorpos}
	}
	return tree, err
}
