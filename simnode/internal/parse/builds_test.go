//go:build cgo

package parse_test

import (
	"testing"

	pgquery "github.com/pganalyze/pg_query_go/v6"
	"github.com/stretchr/testify/require"
	wasm "github.com/wasilibs/go-pgquery"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Both builds of the grammar are the same grammar: equal trees, equal errors.
func TestBuildsAgree(t *testing.T) {
	n := 0
	for _, sql := range corpus(t) {
		a, errA := pgquery.Parse(sql)
		b, errB := wasm.Parse(sql)
		if errA != nil || errB != nil {
			require.EqualError(t, errB, errA.Error(), sql)
			continue
		}
		forgetArgLocations(a.ProtoReflect())
		require.True(t, proto.Equal(a, b), sql)
		n++
	}
	require.Greater(t, n, 400)
}

// forgetArgLocations clears DefElem.arg_location, a place that only the C build
// notes and that the translation does not look at.
func forgetArgLocations(m protoreflect.Message) {
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.Name() == "arg_location":
			m.Clear(fd)
		case fd.Message() == nil:
		case fd.IsList():
			for i := range v.List().Len() {
				forgetArgLocations(v.List().Get(i).Message())
			}
		default:
			forgetArgLocations(v.Message())
		}
		return true
	})
}
