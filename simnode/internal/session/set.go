package session

import (
	"fmt"
	"slices"
	"strings"

	"github.com/anywriter/anywriter/simnode/internal/ast"
	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// setCommand is SET and RESET.
func (s *Session) setCommand(node *ast.Set) (string, error) {
	tag := "SET"
	if node.Reset {
		tag = "RESET"
	}
	switch node.Scope {
	case ast.ScopeTransaction:
		if s.block == blockSingle {
			s.notice(outsideWarning("SET TRANSACTION"))
		}
		return tag, s.setModes(node.Modes)
	case ast.ScopeDefaults:
		return tag, s.setDefaults(node.Modes)
	case ast.ScopeLocal:
		if s.block == blockSingle {
			s.notice(outsideWarning("SET LOCAL"))
		}
	}
	local := node.Scope == ast.ScopeLocal
	switch {
	case node.Name == "":
		s.settings.resetAll()
		return tag, nil
	case node.Default || node.Reset:
		return tag, s.reset(node.Name, local)
	}
	value, err := s.joined(node)
	if err != nil {
		return "", err
	}
	return tag, s.assign(node.Name, value, local)
}

func outsideWarning(command string) *sqlerr.Error {
	return &sqlerr.Error{Severity: "WARNING", Code: "25P01", Message: fmt.Sprintf(outsideMessage, command)}
}

// joined makes one text of SET's values: only lists take several.
func (s *Session) joined(node *ast.Set) (string, error) {
	if len(node.Values) == 1 && !strings.EqualFold(node.Name, "search_path") {
		return node.Values[0], nil
	}
	switch strings.ToLower(node.Name) {
	case "search_path":
		quoted := make([]string, len(node.Values))
		for i, v := range node.Values {
			quoted[i] = catalog.QuoteIdentifier(v)
		}
		return strings.Join(quoted, ", "), nil
	case "datestyle":
		return strings.Join(node.Values, ", "), nil
	}
	return "", sqlerr.New("22023", "SET %s takes only one argument", node.Name)
}

// assign gives a setting a value.
func (s *Session) assign(name, value string, local bool) error {
	key, canonical, err := s.settings.check(name, value)
	if err != nil {
		return err
	}
	if handled, err := s.assignTransaction(key, canonical); handled {
		return err
	}
	s.settings.set(key, canonical, local)
	return nil
}

// assignTransaction takes the settings that are the present transaction's.
func (s *Session) assignTransaction(key, value string) (handled bool, err error) {
	on := value == "on"
	switch key {
	case keyTxIsolation:
		return true, s.setModes(ast.TransactionModes{Isolation: value})
	case keyTxReadOnly:
		return true, s.setModes(ast.TransactionModes{ReadOnly: &on})
	case keyTxDeferrable:
		return true, s.setModes(ast.TransactionModes{Deferrable: &on})
	}
	return false, nil
}

// setDefaults is SET SESSION CHARACTERISTICS AS TRANSACTION.
func (s *Session) setDefaults(m ast.TransactionModes) error {
	if m.Isolation != "" {
		if err := s.assign(keyDefaultIsolation, m.Isolation, false); err != nil {
			return err
		}
	}
	for key, on := range map[string]*bool{keyDefaultReadOnly: m.ReadOnly, keyDefaultDefer: m.Deferrable} {
		if on == nil {
			continue
		}
		value := "off"
		if *on {
			value = "on"
		}
		if err := s.assign(key, value, false); err != nil {
			return err
		}
	}
	return nil
}

// reset is RESET name and SET name TO DEFAULT.
func (s *Session) reset(name string, local bool) error {
	key, value, err := s.settings.initial(name)
	if err != nil {
		return err
	}
	switch key {
	case keyTxIsolation:
		value = s.settings.cached.isolation
	case keyTxReadOnly:
		value = s.settings.value(keyDefaultReadOnly)
	case keyTxDeferrable:
		value = s.settings.value(keyDefaultDefer)
	}
	if handled, err := s.assignTransaction(key, value); handled {
		return err
	}
	s.settings.set(key, value, local)
	return nil
}

// show gives a setting's name as SHOW writes it, and its present value.
func (s *Session) show(name string) (canonical, value string, err error) {
	d, key := s.settings.define(name)
	if d == nil {
		return s.settings.get(name)
	}
	onOff := map[bool]string{true: "on", false: "off"}
	switch key {
	case keyTxIsolation:
		return d.name, s.tx.isolation, nil
	case keyTxReadOnly:
		return d.name, onOff[s.tx.readOnly], nil
	case keyTxDeferrable:
		return d.name, onOff[s.tx.deferrable], nil
	case keyReady:
		return d.name, "on", s.cfg.Node.Ready()
	case keyRole:
		return d.name, s.role(), s.cfg.Node.Reads()
	}
	return s.settings.get(name)
}

// role is what a client may give a node that answers reads: all, or no writes, and
// why not. A driver's probe asks for it, so the words are part of the interface.
func (s *Session) role() string {
	switch {
	case !s.cfg.Node.HearsMajority():
		return "no majority"
	case s.cfg.ReadOnly != nil && s.cfg.ReadOnly():
		return "read-only"
	case s.settings.cached.readOnly:
		return "writer, read-only by choice"
	default:
		return "writer"
	}
}

// showColumns are the columns of SHOW.
func (s *Session) showColumns(node *ast.Show) []Column {
	text := func(name string) Column { return Column{Name: name, Type: types.Text, TypMod: types.NoTypmod} }
	if strings.EqualFold(node.Name, "all") {
		return []Column{text("name"), text("setting"), text("description")}
	}
	name := node.Name
	if d, _ := s.settings.define(name); d != nil {
		name = d.name
	}
	return []Column{text(name)}
}

// showCommand is SHOW.
func (s *Session) showCommand(node *ast.Show, out Output, describe bool, p *portal) (string, error) {
	rows := []types.Row{nil}
	if strings.EqualFold(node.Name, "all") {
		rows = s.allSettings()
	} else {
		_, value, err := s.show(node.Name)
		if err != nil {
			return "", err
		}
		rows[0] = types.Row{value}
	}
	result := Result{Columns: s.showColumns(node), Style: s.Style(), Describe: describe}
	if p != nil {
		result.Formats = p.formats
	}
	out.Begin(result)
	for _, row := range rows {
		if err := out.Row(row); err != nil {
			return "", err
		}
	}
	return "SHOW", nil
}

func (s *Session) allSettings() []types.Row {
	var rows []types.Row
	for _, d := range s.settings.defs.sorted() {
		_, value, err := s.show(d.name)
		if err != nil {
			value = "off" // simnode.ready and simnode.role of a node that is not
		}
		rows = append(rows, types.Row{d.name, value, d.description})
	}
	return slices.Clip(rows)
}
