package analyze

import (
	"github.com/anywriter/anywriter/simnode/internal/ast"
	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

func (a *analyzer) insert(n *ast.Insert) (*Insert, error) {
	t, err := a.target(n.Table)
	if err != nil {
		return nil, err
	}
	out := &Insert{Table: t}
	columns, err := insertColumns(t, n.Columns)
	if err != nil {
		return nil, err
	}
	// Only a list of columns that was written has places to point at.
	named := n.Columns
	switch {
	case n.Source == nil:
		row, err := a.insertRow(t, nil, nil, nil, nil, false)
		if err != nil {
			return nil, err
		}
		out.Rows = [][]Expr{row}
	case n.Source.Values != nil && n.Source.OrderBy == nil && n.Source.Limit == nil && n.Source.Offset == nil:
		if err := a.insertValues(out, columns, named, n.Source.Values); err != nil {
			return nil, err
		}
	default:
		if err := a.insertQuery(out, columns, named, n.Source); err != nil {
			return nil, err
		}
	}
	if err := a.conflict(out, n); err != nil {
		return nil, err
	}
	s := &scope{analyzer: a, clause: "RETURNING", relations: []relation{tableRelation(t, n.Alias)}}
	out.Returning, out.Columns, err = s.returning(n.Returning)
	return out, err
}

func (s *scope) returning(ts []ast.Target) ([]Expr, []OutputColumn, error) {
	if len(ts) == 0 {
		return nil, nil, nil
	}
	exprs, columns, places, err := s.targets(ts)
	if err != nil {
		return nil, nil, err
	}
	return exprs, columns, s.settleTargets(exprs, columns, places)
}

func insertColumns(t *catalog.Table, names []ast.ColumnName) ([]int, error) {
	var out []int
	if names == nil {
		for i := range t.Columns {
			out = append(out, i)
		}
		return out, nil
	}
	seen := make(map[int]bool)
	for _, n := range names {
		i, err := targetColumn(t, n)
		if err != nil {
			return nil, err
		}
		if seen[i] {
			return nil, sqlerr.New("42701", "column \"%s\" specified more than once", n.Name).At(n.Position())
		}
		seen[i] = true
		out = append(out, i)
	}
	return out, nil
}

func targetColumn(t *catalog.Table, n ast.ColumnName) (int, error) {
	i, ok := t.Column(n.Name)
	if ok && n.Field {
		return 0, sqlerr.Unsupported("a subscript or field in a target column").At(n.Position())
	}
	if !ok {
		return 0, sqlerr.New("42703", "column \"%s\" of relation \"%s\" does not exist", n.Name, t.Name).At(n.Position())
	}
	return i, nil
}

// insertValues looks at all rows before it coerces any: a parameter that occurs
// twice must come out the same.
func (a *analyzer) insertValues(out *Insert, columns []int, named []ast.ColumnName, rows [][]ast.Expr) error {
	s := &scope{analyzer: a, clause: "VALUES"}
	all := make([][]Expr, len(rows))
	for r, row := range rows {
		if len(row) != len(rows[0]) {
			return sqlerr.New("42601", "VALUES lists must all be the same length").At(ast.Locate(row[0]))
		}
		all[r] = make([]Expr, len(row))
		for i, e := range row {
			if _, ok := e.(*ast.Default); ok {
				continue // nil stands for DEFAULT
			}
			var err error
			if all[r][i], err = s.expr(e); err != nil {
				return err
			}
		}
	}
	for r, row := range rows {
		full, err := a.insertRow(out.Table, columns, named, all[r], row, true)
		if err != nil {
			return err
		}
		out.Rows = append(out.Rows, full)
	}
	return nil
}

func (a *analyzer) insertQuery(out *Insert, columns []int, named []ast.ColumnName, n *ast.Select) error {
	q, err := a.query(n, true)
	if err != nil {
		return err
	}
	exprs := make([]Expr, len(q.Columns))
	places := make([]ast.Expr, len(q.Columns))
	for i, c := range q.Columns {
		places[i] = &ast.Const{}
		if len(n.Targets) == len(places) { // without a star among them
			places[i] = n.Targets[i].Expr
		}
		exprs[i] = &Column{T: c.Type, TypMod: c.TypMod, Index: i}
		if c.Type != types.Unknown {
			continue
		}
		// A literal is read as the column it goes to.
		to := types.Text
		if i < len(columns) {
			to = out.Table.Columns[columns[i]].Type
		}
		if q.Targets[i], err = a.settleUnknown(q.Targets[i], to, ast.Locate(places[i])); err != nil {
			return err
		}
		exprs[i] = &Column{T: to, TypMod: types.NoTypmod, Index: i}
	}
	out.Query = q
	out.Project, err = a.insertRow(out.Table, columns, named, exprs, places, true)
	return err
}

// insertRow gives an expression for every column of the table: the given ones for
// columns, the defaults for the rest. A nil in exprs means DEFAULT.
func (a *analyzer) insertRow(
	t *catalog.Table, columns []int, named []ast.ColumnName, exprs []Expr, places []ast.Expr, checkCount bool,
) ([]Expr, error) {
	if checkCount && len(exprs) > len(columns) {
		return nil, sqlerr.New("42601", "INSERT has more expressions than target columns").
			At(ast.Locate(places[len(columns)]))
	}
	if checkCount && named != nil && len(exprs) < len(columns) {
		return nil, sqlerr.New("42601", "INSERT has more target columns than expressions").
			At(named[len(exprs)].Position())
	}
	out := make([]Expr, len(t.Columns))
	for i, e := range exprs {
		if e == nil {
			continue
		}
		c := t.Columns[columns[i]]
		x, err := a.assign(e, c.Type, c.TypMod, c.Name, places[i])
		if err != nil {
			return nil, err
		}
		out[columns[i]] = x
	}
	for i := range out {
		if out[i] != nil {
			continue
		}
		x, err := a.defaultOf(t, i)
		if err != nil {
			return nil, err
		}
		out[i] = x
	}
	return out, nil
}

// defaultOf gives the default of a column as an expression; NULL if it has none.
func (a *analyzer) defaultOf(t *catalog.Table, i int) (Expr, error) {
	c := &t.Columns[i]
	if c.Serial != 0 {
		return &Nextval{T: c.Type, Sequence: c.Serial}, nil
	}
	if c.Default == "" {
		return &Const{T: c.Type}, nil
	}
	e, err := a.parseDefault(c.Default)
	if err != nil {
		return nil, err
	}
	s := &scope{analyzer: a, clause: clauseDefault}
	x, err := s.expr(e)
	if err != nil {
		return nil, err
	}
	return a.assign(x, c.Type, c.TypMod, c.Name, nil)
}

func (a *analyzer) parseDefault(text string) (ast.Expr, error) {
	stmts, err := a.Parse("SELECT " + text)
	if err != nil {
		return nil, err
	}
	if len(stmts) == 1 {
		if sel, ok := stmts[0].Node.(*ast.Select); ok && len(sel.Targets) == 1 {
			return sel.Targets[0].Expr, nil
		}
	}
	return nil, sqlerr.New("XX000", "stored default expression is not an expression: %s", text)
}

func (a *analyzer) conflict(out *Insert, n *ast.Insert) error {
	c := n.Conflict
	if c == nil {
		return nil
	}
	t := out.Table
	arbiters, err := findArbiters(t, c)
	if err != nil {
		return err
	}
	out.Conflict = &Conflict{Arbiters: arbiters, Update: c.Update}
	if !c.Update {
		return nil
	}
	excluded := tableRelation(t, "excluded")
	excluded.oid, excluded.excluded = 0, true
	for i := range excluded.columns {
		excluded.columns[i].TableOID, excluded.columns[i].Attr = 0, 0
	}
	target := tableRelation(t, n.Alias)
	s := &scope{analyzer: a, clause: "UPDATE", relations: []relation{target, excluded}}
	if out.Conflict.Set, err = s.set(t, c.Set); err != nil {
		return err
	}
	return s.where(&out.Conflict.Where, c.Where)
}

// findArbiters gives the unique indexes that ON CONFLICT speaks of.
func findArbiters(t *catalog.Table, c *ast.OnConflict) ([]int, error) {
	switch {
	case c.Constraint != "":
		for i := range t.Indexes {
			if t.Indexes[i].Name == c.Constraint && t.Indexes[i].Unique {
				return []int{i}, nil
			}
		}
		return nil, sqlerr.New("42704", "constraint \"%s\" for table \"%s\" does not exist", c.Constraint, t.Name)
	case c.Columns != nil:
		return inferArbiters(t, c)
	case c.Update:
		return nil, sqlerr.New("42601", "ON CONFLICT DO UPDATE requires inference specification or constraint name").
			WithHint("For example, ON CONFLICT (column_name).").At(c.Position())
	default:
		return nil, nil
	}
}

func inferArbiters(t *catalog.Table, c *ast.OnConflict) ([]int, error) {
	want := make(map[int]bool)
	for _, n := range c.Columns {
		i, ok := t.Column(n.Name)
		if !ok {
			return nil, sqlerr.New("42703", "column \"%s\" does not exist", n.Name).At(n.Position())
		}
		want[i] = true
	}
	var out []int
	for i := range t.Indexes {
		if t.Indexes[i].Unique && coversExactly(t.Indexes[i].Columns, want) {
			out = append(out, i)
		}
	}
	if out == nil {
		return nil, sqlerr.New("42P10", "there is no unique or exclusion constraint matching the ON CONFLICT specification")
	}
	return out, nil
}

func coversExactly(columns []int, want map[int]bool) bool {
	have := make(map[int]bool)
	for _, c := range columns {
		have[c] = true
		if !want[c] {
			return false
		}
	}
	return len(have) == len(want)
}

// set analyses the assignments of UPDATE: all values first, then their coercion, so
// that a parameter that occurs twice must come out the same.
func (s *scope) set(t *catalog.Table, as []ast.Assignment) ([]SetColumn, error) {
	values := make([]Expr, len(as))
	for n, x := range as {
		if _, ok := x.Value.(*ast.Default); ok {
			continue // nil stands for DEFAULT
		}
		var err error
		if values[n], err = s.expr(x.Value); err != nil {
			return nil, err
		}
	}
	var out []SetColumn
	seen := make(map[int]bool)
	for n, x := range as {
		i, err := targetColumn(t, x.Column)
		if err != nil {
			return nil, err
		}
		c := &t.Columns[i]
		if values[n] == nil {
			values[n], err = s.defaultOf(t, i)
		} else {
			values[n], err = s.assign(values[n], c.Type, c.TypMod, c.Name, x.Value)
		}
		if err != nil {
			return nil, err
		}
		if seen[i] {
			return nil, sqlerr.New("42601", "multiple assignments to same column \"%s\"", x.Column.Name)
		}
		seen[i] = true
		out = append(out, SetColumn{Column: i, Value: values[n]})
	}
	return out, nil
}

func (a *analyzer) update(n *ast.Update) (*Update, error) {
	t, err := a.target(n.Table)
	if err != nil {
		return nil, err
	}
	out := &Update{Table: t}
	s := &scope{analyzer: a, clause: "UPDATE", relations: []relation{tableRelation(t, n.Alias)}}
	if out.Set, err = s.set(t, n.Set); err != nil {
		return nil, err
	}
	if err := s.where(&out.Where, n.Where); err != nil {
		return nil, err
	}
	s.clause = "RETURNING"
	out.Returning, out.Columns, err = s.returning(n.Returning)
	return out, err
}

func (a *analyzer) deleteStmt(n *ast.Delete) (*Delete, error) {
	t, err := a.target(n.Table)
	if err != nil {
		return nil, err
	}
	out := &Delete{Table: t}
	s := &scope{analyzer: a, clause: "RETURNING", relations: []relation{tableRelation(t, n.Alias)}}
	if err := s.where(&out.Where, n.Where); err != nil {
		return nil, err
	}
	out.Returning, out.Columns, err = s.returning(n.Returning)
	return out, err
}
