package session

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
)

// settings are the values of a session's settings, with their undo: what SET
// changed in a transaction is gone when it rolls back, what SET LOCAL changed is
// gone when it ends.
type settings struct {
	defs    catalogue
	start   map[string]string // what RESET goes back to, where it differs from the boot value
	session map[string]string // what SET made of them; never changed in place
	local   map[string]string // what SET LOCAL made of them; never changed in place
	told    map[string]string // what the client knows of the reported ones
	dirty   bool              // the client may not know everything
	cached  view
}

// view is the settings that every statement looks at, decoded.
type view struct {
	statementTimeout, lockTimeout time.Duration
	idleInTx, idleSession         time.Duration
	style                         Style
	minLevel                      int
	isolation                     string
	path                          catalog.Path
	readOnly, deferrable          bool
}

// mark is the values at some point of a transaction.
type settingsMark struct{ session, local map[string]string }

// newSettings gives the settings of a user's session before the client has wished
// for anything.
func newSettings(defs catalogue, user string) *settings {
	s := &settings{defs: defs, start: map[string]string{keyAuthorized: user}, told: map[string]string{}, dirty: true}
	s.refresh()
	return s
}

func (s *settings) define(name string) (*definition, string) {
	key := strings.ToLower(name)
	if key == "time zone" {
		key = keyTimeZone
	}
	return s.defs[key], key
}

func unrecognized(name string) *sqlerr.Error {
	switch strings.ToLower(name) {
	case "role", "session_authorization":
		return sqlerr.Unsupported("SET " + strings.ToUpper(strings.ReplaceAll(name, "_", " ")))
	}
	return sqlerr.New("42704", "unrecognized configuration parameter \"%s\"", name)
}

// get gives a setting's name as SHOW writes it, and its value.
func (s *settings) get(name string) (canonical, value string, err error) {
	d, key := s.define(name)
	value, ok := s.lookup(key)
	switch {
	case d != nil:
		return d.name, value, nil
	case ok:
		return name, value, nil
	default:
		return "", "", unrecognized(name)
	}
}

func (s *settings) lookup(key string) (string, bool) {
	for _, m := range []map[string]string{s.local, s.session, s.start} {
		if v, ok := m[key]; ok {
			return v, true
		}
	}
	if d := s.defs[key]; d != nil {
		return d.boot, true
	}
	return "", false
}

func (s *settings) value(key string) string {
	v, _ := s.lookup(key)
	return v
}

// check gives the canonical form of a value, or says why it cannot be had.
func (s *settings) check(name, value string) (key, canonical string, err error) {
	d, key := s.define(name)
	switch {
	case d == nil && !validCustom(key):
		return "", "", unrecognized(name)
	case d == nil:
		return key, value, nil
	case d.check == nil:
		return "", "", sqlerr.New("55P02", "parameter \"%s\" cannot be changed", d.name)
	}
	canonical, err = d.check(d.name, value)
	return key, canonical, err
}

// validCustom reports whether a name may be a setting of the client's own: two
// identifiers or more with dots between, and not one of ours.
func validCustom(key string) bool {
	parts := strings.Split(key, ".")
	if len(parts) < 2 || parts[0] == "simnode" {
		return false
	}
	return !slices.ContainsFunc(parts, func(p string) bool { return p == "" || strings.ContainsAny(p, " \t\n\"'") })
}

// set changes a setting for the session, or for the transaction only.
func (s *settings) set(key, canonical string, local bool) {
	if local {
		s.local = with(s.local, key, canonical)
	} else {
		s.session = with(s.session, key, canonical)
		if _, ok := s.local[key]; ok {
			s.local = maps.Clone(s.local)
			delete(s.local, key)
		}
	}
	s.refresh()
}

func with(m map[string]string, key, value string) map[string]string {
	out := maps.Clone(m)
	if out == nil {
		out = map[string]string{}
	}
	out[key] = value
	return out
}

// initial is the value that RESET and SET … TO DEFAULT mean.
func (s *settings) initial(name string) (key, value string, err error) {
	d, key := s.define(name)
	if d != nil && d.check == nil {
		return "", "", sqlerr.New("55P02", "parameter \"%s\" cannot be changed", d.name)
	}
	if v, ok := s.start[key]; ok {
		return key, v, nil
	}
	if d != nil {
		return key, d.boot, nil
	}
	if validCustom(key) {
		return key, "", nil
	}
	return "", "", unrecognized(name)
}

// resetAll is RESET ALL.
func (s *settings) resetAll() {
	s.session, s.local = nil, nil
	s.refresh()
}

// begin sets a value that RESET goes back to: the client's wish at startup.
func (s *settings) begin(name, value string) error {
	key, canonical, err := s.check(name, value)
	if err != nil {
		return err
	}
	s.start[key] = canonical
	s.refresh()
	return nil
}

func (s *settings) mark() settingsMark { return settingsMark{s.session, s.local} }

// rollbackTo goes back to a mark of this transaction.
func (s *settings) rollbackTo(m settingsMark) {
	s.session, s.local = m.session, m.local
	s.refresh()
}

// end drops what SET LOCAL did, at the end of a transaction.
func (s *settings) end() {
	if s.local != nil {
		s.local = nil
		s.refresh()
	}
}

func (s *settings) refresh() {
	s.dirty = true
	digits, _ := parseInt("", s.value(keyFloatDigits), unitNone)
	s.cached = view{
		statementTimeout: millis(s.value(keyStatementTimeout)),
		lockTimeout:      millis(s.value(keyLockTimeout)),
		idleInTx:         millis(s.value(keyIdleInTx)),
		idleSession:      millis(s.value(keyIdleSession)),
		style: Style{
			Location:    location(s.value(keyTimeZone)),
			ByteaEscape: s.value(keyByteaOutput) == "escape",
			FloatDigits: int(digits),
		},
		minLevel:   noticeLevel(s.value(keyClientMin)),
		isolation:  s.value(keyDefaultIsolation),
		path:       searchPath(s.value(keySearchPath), s.value(keyAuthorized)),
		readOnly:   s.value(keyDefaultReadOnly) == "on",
		deferrable: s.value(keyDefaultDefer) == "on",
	}
}

// changed gives the reported settings that the client does not know yet, in the
// order of their names.
func (s *settings) changed() []Parameter {
	if !s.dirty {
		return nil
	}
	s.dirty = false
	var out []Parameter
	for key, d := range s.defs {
		if !d.report {
			continue
		}
		value := s.value(key)
		if told, ok := s.told[key]; !ok || told != value {
			s.told[key] = value
			out = append(out, Parameter{d.name, value})
		}
	}
	slices.SortFunc(out, func(a, b Parameter) int {
		return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
	})
	return out
}

// noticeLevel orders what client_min_messages lets through.
func noticeLevel(level string) int {
	switch strings.ToLower(level) {
	case "error":
		return 4
	case "warning":
		return 3
	case "notice":
		return 2
	case "log":
		return 1
	default:
		return 0
	}
}
