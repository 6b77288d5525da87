//go:build !cgo

package parse

import (
	"errors"
	"sync"

	pgquery "github.com/pganalyze/pg_query_go/v6"
	wasm "github.com/wasilibs/go-pgquery"
	"github.com/wasilibs/go-pgquery/parser"
)

// oneAtATime guards the WebAssembly module. The library would start, and compile for
// a second, one more copy of it for every call that meets others in progress, and
// keep them all; it is a resource of the process, so its lock is one too.
var oneAtATime sync.Mutex

// grammar parses text with the WebAssembly build of the same grammar. The first
// call compiles it, which takes about a second.
func grammar(text string) (*pgquery.ParseResult, error) {
	oneAtATime.Lock()
	defer oneAtATime.Unlock()
	tree, err := wasm.Parse(text)
	if e := (*parser.Error)(nil); errors.As(err, &e) {
		return nil, &grammarError{message: e.Message, position: e.Cursorpos}
	}
	return tree, err
}
