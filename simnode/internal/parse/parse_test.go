package parse_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/anywriter/anywriter/simnode/internal/ast"
	"github.com/anywriter/anywriter/simnode/internal/parse"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The scripts hold the trees to the letter. Run with CGO_ENABLED=0 too: both builds
// of the grammar must give them.
func TestTrees(t *testing.T) {
	datadriven.Walk(t, "testdata/trees", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			stmts, err := parse.Parse(d.Input)
			if err != nil {
				e := err.(*sqlerr.Error) //nolint:errorlint // Parse promises it
				return fmt.Sprintf("%s at %d: %s\n", e.Code, e.Position, e.Message)
			}
			var b strings.Builder
			for _, s := range stmts {
				fmt.Fprintf(&b, "%s %q at %d", s.Kind, s.Text, s.Offset)
				if s.Params > 0 {
					fmt.Fprintf(&b, ", %d parameters", s.Params)
				}
				b.WriteString("\n")
				dump(&b, reflect.ValueOf(s.Node), "")
			}
			return b.String()
		})
	})
}

// corpus is every SQL text of the executor's scripts.
func corpus(t testing.TB) []string {
	files, err := filepath.Glob("../exec/testdata/*")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	var out []string
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		for _, block := range strings.Split(string(b), "\n\n") {
			lines, _, ok := strings.Cut(block, "\n----")
			_, sql, ok2 := strings.Cut(lines, "\n")
			if ok && ok2 {
				out = append(out, sql)
			}
		}
	}
	return out
}

// A default is stored as text: what Format writes must parse to the same tree.
func TestFormatRoundTrip(t *testing.T) {
	n := 0
	for _, sql := range corpus(t) {
		stmts, err := parse.Parse(sql)
		if err != nil {
			continue
		}
		for _, s := range stmts {
			sel, ok := s.Node.(*ast.Select)
			if !ok {
				continue
			}
			for _, target := range sel.Targets {
				n++
				text := ast.Format(target.Expr)
				again, err := parse.Parse("select " + text)
				require.NoError(t, err, text)
				second := again[0].Node.(*ast.Select).Targets[0].Expr
				require.Equal(t, text, ast.Format(second), sql)
			}
		}
	}
	require.Greater(t, n, 500)
}

func TestStatementsOfOneText(t *testing.T) {
	stmts, err := parse.Parse(" select 1 ;; -- é\n update t set a = $2 ; ")
	require.NoError(t, err)
	require.Len(t, stmts, 2)
	require.Equal(t, "select 1", stmts[0].Text)
	require.Equal(t, 1, stmts[0].Offset)
	require.Equal(t, ast.KindUpdate, stmts[1].Kind)
	require.Equal(t, 2, stmts[1].Params)
	for _, empty := range []string{"", " ", ";", "-- only", "/* a */ ; "} {
		stmts, err := parse.Parse(empty)
		require.NoError(t, err)
		require.Empty(t, stmts, empty)
	}
}

func TestUnsupportedStandsInItsPlace(t *testing.T) {
	stmts, err := parse.Parse("select 1; vacuum; select 2")
	require.NoError(t, err)
	require.Len(t, stmts, 3)
	require.Equal(t, ast.KindUnsupported, stmts[1].Kind)
	require.Equal(t, "0A000", stmts[1].Node.(*ast.Unsupported).Err.Code)
	require.Contains(t, stmts[1].Node.(*ast.Unsupported).Err.Message, "VACUUM")
}

func TestBadText(t *testing.T) {
	for sql, code := range map[string]string{
		"selec":                        "42601",
		"select 'a":                    "42601",
		"select \x00":                  "22021",
		"select '\xff'":                "22021",
		"select U&'\\zzzz'":            "22025",
		strings.Repeat("(", 20000):     "42601",
		"select " + nested(8000, "-("): "54001",
		strings.Repeat("x", 17<<20):    "54000",
	} {
		_, err := parse.Parse(sql)
		e, ok := err.(*sqlerr.Error) //nolint:errorlint // Parse promises it
		require.True(t, ok, "%.40q gave %v", sql, err)
		if len(sql) < 100 {
			require.Equal(t, code, e.Code, sql)
		} else {
			require.Contains(t, []string{code, "54001", "42601"}, e.Code, "%.40q", sql)
		}
	}
}

func nested(n int, open string) string {
	return strings.Repeat(open, n) + "1" + strings.Repeat(")", n)
}

func TestParserRemembers(t *testing.T) {
	p := parse.NewParser(2)
	first, err := p.Parse("select 1")
	require.NoError(t, err)
	second, err := p.Parse("select 1")
	require.NoError(t, err)
	require.Same(t, first[0].Node, second[0].Node)
	for _, sql := range []string{"select 2", "select 3"} {
		_, err = p.Parse(sql)
		require.NoError(t, err)
	}
	third, err := p.Parse("select 1")
	require.NoError(t, err)
	require.NotSame(t, first[0].Node, third[0].Node, "the oldest text was forgotten")
	_, err = p.Parse("selec")
	require.Error(t, err)
}

func TestParserConcurrently(t *testing.T) {
	p := parse.NewParser(4)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() { // ends after its 200 texts
			for j := range 200 {
				sql := fmt.Sprintf("select %d", (i+j)%6)
				stmts, err := p.Parse(sql)
				if err != nil || stmts[0].Text != sql {
					t.Errorf("%s gave %v, %v", sql, stmts, err)
				}
			}
		})
	}
	wg.Wait()
}

// Texts that are nearly SQL neither panic nor come back as something else than an
// error or statements; see checkParse.
func TestParseMutations(t *testing.T) {
	texts := corpus(t)
	r := rand.New(rand.NewPCG(1, 2))
	for range 4000 {
		words := strings.Fields(texts[r.IntN(len(texts))])
		other := strings.Fields(texts[r.IntN(len(texts))])
		if len(words) == 0 || len(other) == 0 {
			continue
		}
		i, j := r.IntN(len(words)), r.IntN(len(other))
		switch r.IntN(4) {
		case 0:
			words = append(words[:i:i], words[i+1:]...)
		case 1:
			words[i] = other[j]
		case 2:
			words = append(words[:i:i], other[j:]...)
		default:
			w := []byte(words[i])
			w[r.IntN(len(w))] = byte(r.IntN(256))
			words[i] = string(w)
		}
		checkParse(t, strings.Join(words, " "))
	}
}

func FuzzParse(f *testing.F) {
	for _, sql := range corpus(f) {
		f.Add(sql)
	}
	f.Fuzz(checkParse)
}

// checkParse holds Parse to its promises for any text.
func checkParse(t *testing.T, sql string) {
	stmts, err := parse.Parse(sql)
	if err != nil {
		if _, ok := err.(*sqlerr.Error); !ok { //nolint:errorlint // Parse promises it
			t.Fatalf("%q gave %T %v", sql, err, err)
		}
		return
	}
	for _, s := range stmts {
		if s.Node == nil || s.Kind == ast.KindUnknown {
			t.Fatalf("%q gave a statement without a node", sql)
		}
		if s.Offset < 0 || !strings.HasPrefix(sql[s.Offset:], s.Text) {
			t.Fatalf("%q: text %q does not stand at %d", sql, s.Text, s.Offset)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	const sql = "select id, name from accounts where id = $1 and balance > 0"
	b.Run("cached", func(b *testing.B) {
		p := parse.NewParser(16)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := p.Parse(sql); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("fresh", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := parse.Parse(sql); err != nil {
				b.Fatal(err)
			}
		}
	})
}
