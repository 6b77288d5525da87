package parse

import (
	"container/list"
	"sync"

	"github.com/anywriter/anywriter/simnode/internal/ast"
)

// maxCachedBytes keeps bulk INSERTs, which come once, from filling the cache.
const maxCachedBytes = 16 << 10

// Parser is Parse with a cache of the texts last seen: parsing takes 6 to 130 µs,
// finding a text 0.1 µs. Safe for concurrent use.
type Parser struct {
	capacity int

	mu    sync.Mutex
	byKey map[string]*list.Element
	order *list.List // of *cached, the last used in front
}

type cached struct {
	text  string
	stmts []ast.Statement
}

// NewParser returns a Parser that remembers capacity texts, at least one.
func NewParser(capacity int) *Parser {
	return &Parser{
		capacity: max(capacity, 1),
		byKey:    make(map[string]*list.Element),
		order:    list.New(),
	}
}

// Parse is the function Parse. The statements are shared: callers must not
// change them. Errors are not remembered.
func (p *Parser) Parse(text string) ([]ast.Statement, error) {
	if stmts, ok := p.find(text); ok {
		return stmts, nil
	}
	stmts, err := Parse(text)
	if err != nil || len(text) > maxCachedBytes {
		return stmts, err
	}
	p.keep(text, stmts)
	return stmts, nil
}

func (p *Parser) find(text string) ([]ast.Statement, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, ok := p.byKey[text]
	if !ok {
		return nil, false
	}
	p.order.MoveToFront(e)
	return e.Value.(*cached).stmts, true
}

func (p *Parser) keep(text string, stmts []ast.Statement) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.byKey[text]; ok {
		return
	}
	p.byKey[text] = p.order.PushFront(&cached{text: text, stmts: stmts})
	if p.order.Len() > p.capacity {
		last := p.order.Back()
		p.order.Remove(last)
		delete(p.byKey, last.Value.(*cached).text)
	}
}
