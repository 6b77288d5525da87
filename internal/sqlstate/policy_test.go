package sqlstate

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/anywriter/anywriter/internal/outcome"
)

// dsqlLike has everything that a dialect can have.
var dsqlLike = &Dialect{Conflicts: []string{"OC000", "OC001"}, FaultsInDoubt: true}

func TestClassify(t *testing.T) {
	const plan = "cached plan must not change result type"
	connect := func(code string) Facts { return Facts{Code: code, Severity: "FATAL", Phase: PhaseConnect} }
	fail := func(code string) Facts { return Facts{Code: code, Severity: "ERROR", Phase: PhaseStatement} }
	fatal := func(code string) Facts { return Facts{Code: code, Severity: "FATAL", Phase: PhaseStatement} }
	tx := func(f Facts) Facts { f.InTx = true; return f }
	first := func(f Facts) Facts { f.InTx, f.FirstInTx = true, true; return f }
	with := func(f Facts, message string) Facts { f.Message = message; return f }
	own := func(f Facts) Facts { f.OwnCancel = true; return f }
	commit := func(f Facts) Facts { f.Phase, f.InTx = PhaseCommit, true; return f }
	spoken := func(f Facts) Facts { f.Dialect = dsqlLike; return f }

	lost := Verdict{Kind: Connection, Node: NodeSuspect, Retry: RetryOtherNode, DiscardSession: true}
	unreached := Verdict{Kind: Connection, Effect: NothingSent, Node: NodeSuspect, Retry: RetryOtherNode, DiscardSession: true}
	away := Verdict{Kind: NotReady, Effect: NothingSent, Node: NodeNotReady, Retry: RetryOtherNode, DiscardSession: true}
	conflict := Verdict{Kind: Conflict, Effect: Undone, Retry: RetryAnyNode}
	doubt := Verdict{Kind: InDoubt, Effect: Doubtful, DiscardSession: true}
	going := Verdict{Kind: Draining, Node: NodeGoing, Retry: RetryOtherNode, DiscardSession: true}
	idled := Verdict{Kind: SessionEnded, Effect: Undone, Retry: RetryFreshSession, DiscardSession: true}
	ended := Verdict{Kind: SessionEnded, Retry: RetryFreshSession, DiscardSession: true}
	replan := Verdict{Kind: StalePlan, Effect: Undone, Retry: RetrySameSession, DropStatement: true}
	maybe := Verdict{Kind: ServerFault, Effect: Doubtful}
	stale := Verdict{Kind: StalePlan, Effect: Undone, DropStatement: true}
	resource := Verdict{Kind: Resource, Effect: Undone}
	fault := Verdict{Kind: ServerFault, Effect: Undone}
	fatalFault := Verdict{Kind: ServerFault, Node: NodeSuspect, Retry: RetryOtherNode, DiscardSession: true}
	readOnly := Verdict{Kind: NotWritable, Effect: Undone, Node: NodeReadOnly, Retry: RetryOtherNode}
	auth := Verdict{Kind: Auth, Effect: NothingSent, Retry: RetryFreshCredential, DiscardSession: true}
	foreign := Verdict{Kind: Foreign, Effect: Doubtful}
	users := Verdict{Kind: Unclassified, Effect: Undone}

	for name, c := range map[string]struct {
		facts Facts
		want  Verdict
	}{
		"40001":                         {fail("40001"), conflict},
		"40001 in a transaction":        {tx(fail("40001")), conflict},
		"40001 at COMMIT":               {commit(fail("40001")), conflict},
		"40P01":                         {fail("40P01"), conflict},
		"OC000":                         {spoken(fail("OC000")), conflict},
		"DSQL in the message":           {spoken(with(fail("XX000"), "change conflicts with another transaction (OC000)")), conflict},
		"DSQL schema in the message":    {spoken(with(fail("XX000"), "schema has been updated (OC001)")), conflict},
		"another dialect's code":        {with(fail("XX000"), "schema has been updated (OC001)"), fault},
		"58030 that may hide a commit":  {spoken(fail("58030")), maybe},
		"XX000 that answers COMMIT":     {spoken(commit(fail("XX000"))), maybe},
		"XX000 inside a transaction":    {spoken(tx(fail("XX000"))), fault},
		"40001 that ends the session":   {fatal("40001"), Verdict{Kind: Fatal, Retry: RetryFreshSession, DiscardSession: true}},
		"40003":                         {fail("40003"), doubt},
		"08007":                         {fatal("08007"), doubt},
		"08007 at COMMIT":               {commit(fatal("08007")), doubt},
		"57P01":                         {fatal("57P01"), going},
		"57P01 at COMMIT":               {commit(fatal("57P01")), going},
		"57P02":                         {fatal("57P02"), going},
		"57P01 at connect":              {connect("57P01"), away},
		"57P03 at connect":              {connect("57P03"), away},
		"08001 at connect":              {connect("08001"), away},
		"08004 at connect":              {connect("08004"), away},
		"57P03 in a session":            {fail("57P03"), Verdict{Kind: NotReady, Effect: Undone, Node: NodeNotReady, Retry: RetryOtherNode}},
		"57P03 ends a session":          {fatal("57P03"), Verdict{Kind: NotReady, Node: NodeNotReady, Retry: RetryOtherNode, DiscardSession: true}},
		"08006":                         {fatal("08006"), lost},
		"08000 without severity":        {Facts{Code: "08000", Phase: PhaseStatement}, lost},
		"XXUUU":                         {fatal("XXUUU"), lost},
		"EOF":                           {Facts{Phase: PhaseStatement}, lost},
		"EOF at COMMIT":                 {Facts{Phase: PhaseCommit, InTx: true}, lost},
		"EOF at connect":                {Facts{Phase: PhaseConnect}, unreached},
		"08006 at connect":              {connect("08006"), unreached},
		"XX000 at connect":              {connect("XX000"), unreached},
		"08006 of a function":           {Facts{Code: "08006", Severity: "ERROR", Raised: true, Open: true, Block: true, InTx: true}, users},
		"08006 in a block as text":      {Facts{Code: "08006", Severity: "ERROR", Raised: true, Open: true, Block: true}, users},
		"08006 in autocommit":           {Facts{Code: "08006", Severity: "ERROR", Raised: true, Open: true}, foreign},
		"08006 at COMMIT":               {commit(Facts{Code: "08006", Severity: "ERROR", Raised: true, Open: true}), foreign},
		"08006 at a COMMIT as text":     {tx(Facts{Code: "08006", Severity: "ERROR", Raised: true, Open: true}), foreign},
		"08006 of a pooler in a block":  {Facts{Code: "08006", Severity: "ERROR", Open: true, Block: true, InTx: true}, lost},
		"08006 before the end":          {Facts{Code: "08006", Severity: "ERROR", Raised: true}, lost},
		"08006, a pooler's":             {Facts{Code: "08006", Severity: "ERROR", Open: true}, lost},
		"08006 where faults hide":       {spoken(Facts{Code: "08006", Severity: "ERROR", Raised: true, Open: true}), lost},
		"08006, fatal":                  {Facts{Code: "08006", Severity: "FATAL", Raised: true, Open: true}, lost},
		"40003 of a function":           {Facts{Code: "40003", Severity: "ERROR", Raised: true, Open: true}, doubt},
		"08P01, the user's":             {Facts{Code: "08P01", Severity: "ERROR", Open: true}, users},
		"08P01, an old pooler's":        {fail("08P01"), lost},
		"08P01, a pooler's":             {fatal("08P01"), lost},
		"53300 at connect":              {connect("53300"), Verdict{Kind: NodeFull, Effect: NothingSent, Node: NodeCrowded, Retry: RetryOtherNode, DiscardSession: true}},
		"53100":                         {fail("53100"), resource},
		"53200":                         {fail("53200"), resource},
		"53400":                         {fail("53400"), resource},
		"57P05":                         {fatal("57P05"), idled},
		"25P03":                         {tx(fatal("25P03")), idled},
		"25P04":                         {tx(fatal("25P04")), ended},
		"25006":                         {fail("25006"), readOnly},
		"25006 at connect":              {connect("25006"), Verdict{Kind: NotWritable, Effect: NothingSent, Node: NodeReadOnly, Retry: RetryOtherNode, DiscardSession: true}},
		"26000":                         {fail("26000"), replan},
		"26000 first in a transaction":  {first(fail("26000")), replan},
		"26000 later in a transaction":  {tx(fail("26000")), stale},
		"cached plan":                   {with(fail("0A000"), plan), replan},
		"cached plan, first":            {first(with(fail("0A000"), plan)), replan},
		"cached plan, later":            {tx(with(fail("0A000"), plan)), stale},
		"any other 0A000":               {with(fail("0A000"), "cannot do that"), users},
		"25P02":                         {tx(fail("25P02")), Verdict{Kind: AbortedTx, Effect: Undone}},
		"58030":                         {fail("58030"), fault},
		"XX000":                         {fail("XX000"), fault},
		"XX000 FATAL":                   {fatal("XX000"), fatalFault},
		"XX001 PANIC":                   {Facts{Code: "XX001", Severity: "PANIC", Phase: PhaseStatement}, fatalFault},
		"58030 FATAL":                   {fatal("58030"), fatalFault},
		"57014, ours":                   {own(fail("57014")), Verdict{Kind: Canceled, Effect: Undone}},
		"57014, statement_timeout":      {fail("57014"), users},
		"28P01 at connect":              {connect("28P01"), auth},
		"28000 at connect":              {connect("28000"), auth},
		"28000 that ends a session":     {fatal("28000"), Verdict{Kind: Auth, Retry: RetryFreshCredential, DiscardSession: true}},
		"3D000 at connect":              {connect("3D000"), Verdict{Kind: Unclassified, Effect: NothingSent, DiscardSession: true}},
		"23505":                         {fail("23505"), users},
		"42601":                         {fail("42601"), users},
		"another FATAL":                 {fatal("57P04"), Verdict{Kind: Fatal, Retry: RetryFreshSession, DiscardSession: true}},
		"no phase is a statement":       {Facts{Code: "40001", Severity: "ERROR"}, conflict},
		"an empty severity is an ERROR": {Facts{Code: "23505"}, users},
		"a short code":                  {fail("08"), lost},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, c.want, Classify(c.facts)) })
	}
	assert.Equal(t, Verdict{Kind: CommitRolledBack, Effect: Undone}, CommitRolledBackVerdict())
}

// TestEveryRowIsReached holds that no row of the table is hidden by an earlier
// one.
func TestEveryRowIsReached(t *testing.T) {
	reached := make([]bool, len(policy()))
	codes := []string{
		"", "08", "08000", "08001", "08004", "08007", "08P01", "0A000", "23505", "25006", "25P02", "25P03", "25P04", "26000", "28000",
		"40001", "40003", "40P01", "53100", "53300", "57014", "57P01", "57P03", "57P05", "58030", "OC000", "XX000", "XXUUU",
	}
	for _, code := range codes {
		for _, severity := range []string{"ERROR", "FATAL"} {
			for _, phase := range []Phase{PhaseConnect, PhaseStatement, PhaseCommit} {
				for _, message := range []string{"", "cached plan x", "x (OC000)"} {
					for bits := range 128 {
						f := Facts{
							Code: code, Severity: severity, Phase: phase, Message: message,
							InTx: bits&1 != 0, FirstInTx: bits&2 != 0, OwnCancel: bits&4 != 0,
							Open: bits&16 != 0, Raised: bits&32 != 0, Block: bits&64 != 0,
						}
						if bits&8 != 0 {
							f.Dialect = dsqlLike
						}
						for i, r := range policy() {
							if r.matches(f) {
								reached[i] = true
								break
							}
						}
					}
				}
			}
		}
	}
	for i, r := range policy() {
		assert.True(t, reached[i], "row %d: %s", i, r.document)
		assert.NotEmpty(t, r.document)
	}
}

func TestEffectsOnTheOutcome(t *testing.T) {
	sent := outcome.Record{Scope: outcome.Transaction}.Step(outcome.EventFlush).Step(outcome.EventFlushCommit)
	for _, c := range []struct {
		facts Facts
		want  outcome.Outcome
	}{
		{Facts{Code: "40001", Severity: "ERROR", Phase: PhaseCommit}, outcome.DefinitelyAborted},
		{Facts{Code: "40003", Severity: "ERROR", Phase: PhaseCommit}, outcome.CommitSent},
		{Facts{Code: "57P01", Severity: "FATAL", Phase: PhaseCommit}, outcome.CommitSent},
		{Facts{Code: "XX000", Severity: "PANIC", Phase: PhaseCommit}, outcome.CommitSent},
		{Facts{Phase: PhaseCommit}, outcome.CommitSent},
	} {
		assert.Equal(t, c.want, sent.Step(Classify(c.facts).Event()).Outcome(), "%+v", c.facts)
	}
	refused := Classify(Facts{Code: "57P03", Severity: "FATAL", Phase: PhaseConnect}).Event()
	assert.Equal(t, outcome.NotSent, outcome.Record{}.Step(refused).Outcome())
}

func TestNodeFault(t *testing.T) {
	assert.True(t, Verdict{Node: NodeSuspect}.NodeFault())
	assert.True(t, Verdict{Node: NodeNotReady}.NodeFault())
	for _, n := range []NodeEffect{NodeFine, NodeGoing, NodeCrowded, NodeReadOnly} {
		assert.False(t, Verdict{Node: n}.NodeFault(), n)
	}
}

func TestNames(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{PhaseConnect.String(), "connect"},
		{PhaseStatement.String(), "statement"},
		{PhaseCommit.String(), "commit"},
		{Phase(9).String(), "unknown"},
		{CommitRolledBack.String(), "CommitRolledBack"},
		{Foreign.String(), "Foreign"},
		{Kind(99).String(), "Unclassified"},
		{NothingSent.String(), "NothingSent"},
		{Undone.String(), "Undone"},
		{Doubtful.String(), "Doubtful"},
		{ByFlush.String(), "ByFlush"},
		{NodeGoing.String(), "NodeGoing"},
		{NodeNotReady.String(), "NodeNotReady"},
		{NodeCrowded.String(), "NodeCrowded"},
		{NodeReadOnly.String(), "NodeReadOnly"},
		{NodeSuspect.String(), "NodeSuspect"},
		{NodeFine.String(), "NodeFine"},
		{RetryAnyNode.String(), "RetryAnyNode"},
		{RetryOtherNode.String(), "RetryOtherNode"},
		{RetryFreshSession.String(), "RetryFreshSession"},
		{RetrySameSession.String(), "RetrySameSession"},
		{RetryFreshCredential.String(), "RetryFreshCredential"},
		{RetryNever.String(), "RetryNever"},
	} {
		assert.Equal(t, c.want, c.got)
	}
}
