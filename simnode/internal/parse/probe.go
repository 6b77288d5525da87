package parse

import (
	"strings"

	"github.com/anywriter/anywriter/simnode/internal/ast"
)

// probePrefix begins the statements by which drivers ask a node how it is.
const probePrefix = "show simnode."

// probe recognises SHOW simnode.<name> without the grammar, which takes a second
// to load where it runs in WebAssembly: a node that is healthy must not look dead
// because nobody has sent it SQL yet. Any other text is the grammar's.
func probe(text string) ([]ast.Statement, bool) {
	if len(text) <= len(probePrefix) || !strings.EqualFold(text[:len(probePrefix)], probePrefix) {
		return nil, false
	}
	name := strings.ToLower(text[len("show "):])
	switch name {
	case "simnode.ready", "simnode.role", "simnode.cluster_id", "simnode.node_id", "simnode.version":
		return []ast.Statement{{Text: text, Kind: ast.KindShow, Node: &ast.Show{Name: name}}}, true
	}
	return nil, false
}
