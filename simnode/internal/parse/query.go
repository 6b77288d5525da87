package parse

import (
	pgquery "github.com/pganalyze/pg_query_go/v6"

	"github.com/anywriter/anywriter/simnode/internal/ast"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
)

func (t *translator) selectStmt(s *pgquery.SelectStmt) *ast.Select {
	if feature := setOperation(s.Op); feature != "" {
		t.unsupported(feature)
		return nil
	}
	t.carry(s, "target_list", "from_clause", "where_clause", "values_lists", "sort_clause",
		"limit_offset", "limit_count", "limit_option", "locking_clause", "op")
	if s.LimitOption == pgquery.LimitOption_LIMIT_OPTION_WITH_TIES {
		t.unsupported("FETCH … WITH TIES")
	}
	out := &ast.Select{
		Targets: t.targets(s.TargetList),
		From:    t.from(s.FromClause),
		Where:   t.optional(s.WhereClause),
		Limit:   t.optional(s.LimitCount),
		Offset:  t.optional(s.LimitOffset),
		Lock:    t.lock(s.LockingClause),
	}
	for _, row := range s.ValuesLists {
		out.Values = append(out.Values, t.exprs(t.list(row)))
	}
	for _, n := range s.SortClause {
		out.OrderBy = append(out.OrderBy, t.sortBy(n))
	}
	return out
}

func setOperation(op pgquery.SetOperation) string {
	switch op {
	case pgquery.SetOperation_SETOP_UNION:
		return "UNION"
	case pgquery.SetOperation_SETOP_INTERSECT:
		return "INTERSECT"
	case pgquery.SetOperation_SETOP_EXCEPT:
		return "EXCEPT"
	default:
		return ""
	}
}

func (t *translator) targets(ns []*pgquery.Node) []ast.Target {
	var out []ast.Target
	for _, n := range ns {
		r := n.GetResTarget()
		if r == nil {
			t.refuse(n)
			return nil
		}
		t.carry(r, "name", "val", "location")
		out = append(out, ast.Target{Expr: t.target(r.Val), Name: r.Name})
	}
	return out
}

// target is expr, with * and t.* allowed.
func (t *translator) target(n *pgquery.Node) ast.Expr {
	ref := n.GetColumnRef()
	if ref == nil || len(ref.Fields) == 0 || ref.Fields[len(ref.Fields)-1].GetAStar() == nil {
		return t.expr(n)
	}
	star := &ast.Star{At: t.at(ref.Location)}
	switch len(ref.Fields) {
	case 1:
	case 2, 3:
		star.Schema, star.Table = t.qualified(ref.Fields[:len(ref.Fields)-1])
	default:
		t.unsupported("a cross-database reference")
	}
	return star
}

func (t *translator) from(ns []*pgquery.Node) *ast.From {
	if len(ns) == 0 {
		return nil
	}
	if len(ns) > 1 {
		t.unsupported("more than one table in FROM (a join)")
		return nil
	}
	switch f := ns[0].GetNode().(type) {
	case *pgquery.Node_RangeVar:
		name, alias := t.rangeVar(f.RangeVar)
		return &ast.From{Table: &name, Alias: alias, Columns: t.names(f.RangeVar.GetAlias().GetColnames())}
	case *pgquery.Node_RangeFunction:
		return t.fromFunction(f.RangeFunction)
	case *pgquery.Node_RangeSubselect:
		return t.fromValues(f.RangeSubselect)
	}
	t.refuse(ns[0])
	return nil
}

func (t *translator) fromFunction(f *pgquery.RangeFunction) *ast.From {
	t.carry(f, "functions", "alias", "is_rowsfrom")
	if len(f.Functions) != 1 || f.IsRowsfrom {
		t.unsupported("ROWS FROM")
		return nil
	}
	items := nonEmpty(t.list(f.Functions[0]))
	if len(items) != 1 || items[0].GetFuncCall() == nil {
		t.unsupported("this function in FROM")
		return nil
	}
	call, ok := t.expr(items[0]).(*ast.Func)
	if !ok {
		return nil
	}
	return &ast.From{Func: call, Alias: f.Alias.GetAliasname(), Columns: t.names(f.Alias.GetColnames())}
}

func (t *translator) fromValues(r *pgquery.RangeSubselect) *ast.From {
	t.carry(r, "subquery", "alias")
	sub := r.Subquery.GetSelectStmt()
	if sub == nil || len(sub.ValuesLists) == 0 || len(sub.SortClause) > 0 || sub.LimitCount != nil || sub.LimitOffset != nil {
		t.unsupported("a subquery in FROM")
		return nil
	}
	if r.Alias == nil {
		t.fail(sqlerr.New("42601", "VALUES in FROM must have an alias").
			WithHint("For example, FROM (VALUES ...) [AS] foo."))
		return nil
	}
	return &ast.From{
		Values:  t.selectStmt(sub).Values,
		Alias:   r.Alias.Aliasname,
		Columns: t.names(r.Alias.Colnames),
	}
}

func (t *translator) sortBy(n *pgquery.Node) ast.SortBy {
	s := n.GetSortBy()
	if s == nil {
		t.refuse(n)
		return ast.SortBy{}
	}
	t.carry(s, "node", "sortby_dir", "sortby_nulls", "location")
	desc := s.SortbyDir == pgquery.SortByDir_SORTBY_DESC
	nullsFirst := desc
	switch s.SortbyNulls {
	case pgquery.SortByNulls_SORTBY_NULLS_FIRST:
		nullsFirst = true
	case pgquery.SortByNulls_SORTBY_NULLS_LAST:
		nullsFirst = false
	}
	return ast.SortBy{Expr: t.expr(s.Node), Desc: desc, NullsFirst: nullsFirst}
}

func (t *translator) lock(ns []*pgquery.Node) *ast.Lock {
	if len(ns) == 0 {
		return nil
	}
	if len(ns) > 1 {
		t.unsupported("more than one locking clause")
		return nil
	}
	l := ns[0].GetLockingClause()
	t.carry(l, "locked_rels", "strength", "wait_policy")
	switch l.GetStrength() {
	case pgquery.LockClauseStrength_LCS_FORUPDATE:
	case pgquery.LockClauseStrength_LCS_FORSHARE:
		t.unsupported("FOR SHARE")
	case pgquery.LockClauseStrength_LCS_FORKEYSHARE:
		t.unsupported("FOR KEY SHARE")
	default:
		t.unsupported("FOR NO KEY UPDATE")
	}
	out := &ast.Lock{Wait: ast.WaitBlock}
	switch l.GetWaitPolicy() {
	case pgquery.LockWaitPolicy_LockWaitSkip:
		out.Wait = ast.WaitSkip
	case pgquery.LockWaitPolicy_LockWaitError:
		out.Wait = ast.WaitNoWait
	}
	for _, n := range l.GetLockedRels() {
		name, _ := t.rangeVar(n.GetRangeVar())
		out.Of = append(out.Of, name)
	}
	return out
}

func (t *translator) insert(s *pgquery.InsertStmt) *ast.Insert {
	if s.Override == pgquery.OverridingKind_OVERRIDING_NOT_SET {
		t.carry(s, "relation", "cols", "select_stmt", "on_conflict_clause", "returning_list", "override")
	} else {
		t.carry(s, "relation", "cols", "select_stmt", "on_conflict_clause", "returning_list")
	}
	out := &ast.Insert{Returning: t.targets(s.ReturningList), Conflict: t.onConflict(s.OnConflictClause)}
	out.Table, out.Alias = t.rangeVar(s.Relation)
	for _, n := range s.Cols {
		out.Columns = append(out.Columns, t.columnName(n.GetResTarget()))
	}
	if s.SelectStmt != nil {
		sel := s.SelectStmt.GetSelectStmt()
		if sel == nil {
			t.refuse(s.SelectStmt)
			return nil
		}
		out.Source = t.selectStmt(sel)
	}
	return out
}

func (t *translator) columnName(r *pgquery.ResTarget) ast.ColumnName {
	if r == nil {
		t.unsupported("this target column")
		return ast.ColumnName{}
	}
	t.carry(r, "name", "val", "location", "indirection")
	return ast.ColumnName{At: t.at(r.Location), Name: r.Name, Field: len(r.Indirection) > 0}
}

func (t *translator) onConflict(c *pgquery.OnConflictClause) *ast.OnConflict {
	if c == nil {
		return nil
	}
	t.carry(c, "action", "infer", "target_list", "where_clause", "location")
	out := &ast.OnConflict{
		At:     t.at(c.Location),
		Update: c.Action == pgquery.OnConflictAction_ONCONFLICT_UPDATE,
		Set:    t.assignments(c.TargetList),
		Where:  t.optional(c.WhereClause),
	}
	if c.Infer == nil {
		return out
	}
	t.carry(c.Infer, "index_elems", "conname", "location")
	out.Constraint = c.Infer.Conname
	for _, n := range c.Infer.IndexElems {
		e := n.GetIndexElem()
		t.carry(e, "name", "ordering", "nulls_ordering")
		out.Columns = append(out.Columns, ast.ColumnName{At: t.at(c.Infer.Location), Name: e.GetName()})
	}
	return out
}

func (t *translator) assignments(ns []*pgquery.Node) []ast.Assignment {
	var out []ast.Assignment
	for _, n := range ns {
		r := n.GetResTarget()
		col := t.columnName(r)
		if m := r.GetVal().GetMultiAssignRef(); m != nil {
			out = append(out, ast.Assignment{Column: col, Value: t.multiAssign(m)})
			continue
		}
		out = append(out, ast.Assignment{Column: col, Value: t.expr(r.GetVal())})
	}
	return out
}

// multiAssign picks the part of (a, b) = (x, y) that belongs to one column.
func (t *translator) multiAssign(m *pgquery.MultiAssignRef) ast.Expr {
	t.carry(m, "source", "colno", "ncolumns")
	row := m.Source.GetRowExpr()
	if row == nil {
		if m.Source.GetSubLink() != nil {
			t.refuse(m.Source)
		}
		t.fail(sqlerr.New("0A000", "source for a multiple-column UPDATE item must be a sub-SELECT or ROW() expression"))
		return nil
	}
	t.carry(row, "args", "row_format", "location")
	if len(row.Args) != int(m.Ncolumns) {
		t.fail(sqlerr.New("42601", "number of columns does not match number of values").At(int32(t.at(row.Location))))
		return nil
	}
	if m.Colno < 1 || int(m.Colno) > len(row.Args) {
		t.unsupported("this multiple-column assignment")
		return nil
	}
	return t.expr(row.Args[m.Colno-1])
}

func (t *translator) update(s *pgquery.UpdateStmt) *ast.Update {
	t.carry(s, "relation", "target_list", "where_clause", "returning_list")
	out := &ast.Update{
		Set:       t.assignments(s.TargetList),
		Where:     t.optional(s.WhereClause),
		Returning: t.targets(s.ReturningList),
	}
	out.Table, out.Alias = t.rangeVar(s.Relation)
	return out
}

func (t *translator) deleteStmt(s *pgquery.DeleteStmt) *ast.Delete {
	t.carry(s, "relation", "where_clause", "returning_list")
	out := &ast.Delete{Where: t.optional(s.WhereClause), Returning: t.targets(s.ReturningList)}
	out.Table, out.Alias = t.rangeVar(s.Relation)
	return out
}
