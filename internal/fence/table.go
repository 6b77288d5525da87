package fence

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Table is the qualified name of a fence table. The zero value is no table.
type Table struct {
	// Schema and Name are the identifiers as the catalog has them.
	Schema, Name string
}

// DefaultTable is the name that is used unless another is given.
const DefaultTable = "anywriter.fence"

// maxIdentifier is the longest identifier that PostgreSQL keeps whole, in bytes.
const maxIdentifier = 63

// ParseTable reads schema.name. Both parts are identifiers as in SQL: letters,
// digits, _ and $, folded to lower case, or anything in double quotes. The
// schema must be given, because a name without one means whatever the search
// path leads to, which another user may decide.
func ParseTable(s string) (Table, error) {
	schema, rest, err := identifier(s)
	if err != nil {
		return Table{}, err
	}
	if !strings.HasPrefix(rest, ".") {
		return Table{}, errors.New("the fence table needs its schema: write schema.name")
	}
	name, rest, err := identifier(rest[1:])
	switch {
	case err != nil:
		return Table{}, err
	case rest != "":
		return Table{}, errors.New("the fence table's name has more than schema.name; an identifier with other characters needs double quotes")
	case strings.HasPrefix(schema, "pg_") || schema == "information_schema":
		return Table{}, fmt.Errorf("the fence table can't be in schema %s: it must outlive the session and be the same for everybody", schema)
	}
	return Table{Schema: schema, Name: name}, nil
}

// identifier reads one identifier and returns what follows it.
func identifier(s string) (name, rest string, err error) {
	if strings.HasPrefix(s, `"`) {
		name, rest, err = quoted(s[1:])
	} else {
		end := 0
		for end < len(s) && isIdentifierByte(s[end], end == 0) {
			end++
		}
		name, rest = strings.ToLower(s[:end]), s[end:]
	}
	switch {
	case err != nil:
		return "", "", err
	case name == "":
		return "", "", errors.New("the fence table's name is empty or begins with a character that needs double quotes; write schema.name")
	case len(name) > maxIdentifier:
		return "", "", fmt.Errorf("an identifier of the fence table has %d bytes, PostgreSQL keeps %d", len(name), maxIdentifier)
	}
	return name, rest, nil
}

// quoted reads up to the closing quote.
func quoted(s string) (name, rest string, err error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == 0:
			return "", "", errors.New("the fence table's name has a NUL in it")
		case s[i] != '"':
			b.WriteByte(s[i])
		case i+1 < len(s) && s[i+1] == '"':
			b.WriteByte('"')
			i++
		default:
			return b.String(), s[i+1:], nil
		}
	}
	return "", "", errors.New("the fence table's name has a quote that isn't closed")
}

func isIdentifierByte(c byte, first bool) bool {
	switch {
	case c == '_', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= 0x80:
		return true
	case c == '$', c >= '0' && c <= '9':
		return !first
	default:
		return false
	}
}

// String returns the name as SQL, each part quoted.
func (t Table) String() string { return quote(t.Schema) + "." + quote(t.Name) }

func quote(identifier string) string {
	return `"` + strings.ReplaceAll(identifier, `"`, `""`) + `"`
}

// Insert is what the transaction itself runs last: $1 is its id, a uuid. It
// fails with 23505 if somebody has marked it as aborted, and then nothing of the
// transaction stays.
func (t Table) Insert() string {
	return "insert into " + t.String() + " (id, aborted) values ($1, false)"
}

// Mark puts the mark that a transaction is aborted, unless it has its row.
func (t Table) Mark() string {
	return "insert into " + t.String() + " (id, aborted) values ($1, true) on conflict (id) do nothing"
}

// Ask reads the decision, in a transaction of its own after Mark is committed:
// true means that the transaction can never commit, false that it did. To judge
// by Mark's own success would be wrong once Mark itself has to be repeated: the
// second time it finds the mark of the first.
func (t Table) Ask() string { return "select aborted from " + t.String() + " where id = $1" }

// Install returns the commands that make the schema and the table. created_at
// is the time of the row and not that of the transaction's start: a row's age
// decides when it may be purged, and a transaction may be older than any limit
// when it commits.
func (t Table) Install() []string {
	return []string{
		"create schema if not exists " + quote(t.Schema),
		"create table if not exists " + t.String() + " (id uuid primary key, aborted boolean not null, " +
			"created_at timestamptz not null default clock_timestamp())",
	}
}

// MinAge is the youngest age at which a row may be purged. A mark that is
// deleted lets its transaction commit after all, should its last bytes still be
// on their way, and a deleted row makes a committed transaction look undecided:
// so rows must outlive every connection that could still deliver such bytes,
// and every resolver. Kernels give up on a connection without an answer after 15
// to 30 minutes (tcp_retries2), resolvers after seconds.
const MinAge = time.Hour

// PurgeSlice is one step of a purge: rows older than $3 with $1 <= id <= $2.
func (t Table) PurgeSlice() string {
	return "delete from " + t.String() + " where id >= $1 and id <= $2 and created_at < $3"
}

// Count asks for the number of rows, of marks among them, and for the time of
// the oldest row.
func (t Table) Count() (rows, marks, oldest string) {
	return "select count(*) from " + t.String(),
		"select count(*) from " + t.String() + " where aborted",
		"select min(created_at) from " + t.String()
}
