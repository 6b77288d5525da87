package driver_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/anywriter/anywriter/simnode"
	"github.com/anywriter/anywriter/sqltest/faultproxy"
)

// cutKind is a way to write.
type cutKind uint8

const (
	cutExec       cutKind = iota // autocommit, by ExecContext
	cutReturning                 // autocommit INSERT … RETURNING, by QueryRowContext
	cutPrepared                  // autocommit, by a sql.Stmt
	cutOnConn                    // autocommit on a sql.Conn that has been used
	cutTx                        // sql.Tx
	cutRideAlong                 // sql.Tx whose COMMIT travels with the last statement
	cutRunTx                     // RunTx
	cutRunRide                   // the same with WithCommit
	cutRolledBack                // sql.Tx, rolled back
	cutFailing                   // autocommit that the server refuses
	cutSeveral                   // a text of several commands
	cutCopy                      // COPY FROM, through Raw
	cutKinds
)

var cutKindNames = [cutKinds]string{
	"exec", "returning", "prepared", "on sql.Conn", "sql.Tx", "WithCommit", "RunTx", "RunTx, WithCommit", "rolled back", "failing", "several commands", "COPY",
}

func (k cutKind) String() string { return cutKindNames[k] }

// autocommit reports whether one statement is the whole work.
func (k cutKind) autocommit() bool {
	return k <= cutOnConn || k == cutFailing
}

// cutEnding is how a frozen connection goes on.
type cutEnding uint8

const (
	endNone  cutEnding = iota
	endReset           // it is reset after a time
	endThaw            // it goes on after a time
	endLate            // it goes on when the caller has given up
)

// cutBlock is how many cuts of successive numbers share a DB: opening one costs
// more than a cut.
const cutBlock = 25

// cutConfig is how the DB of a block is opened.
type cutConfig struct {
	fence   bool
	cancels bool // requests to cancel reach the server
	params  []string
}

// cutPlan is one cut: what is written, what goes wrong and where. It follows
// from a seed and its number alone.
type cutPlan struct {
	cutConfig
	id     int
	kind   cutKind
	writes string // one letter per statement: i inserts a row, u adds one to the counter
	args   bool   // values travel as arguments, not in the text
	warm   bool   // the same has been done on every node before
	pinned bool   // one node only, by WithNode

	rule     faultproxy.Rule     // Match is added when it is armed
	observe  bool                // there is no fault of the network
	dropped  simnode.CommitPoint // where the simulator loses the answer to a commit, or 0
	probers  bool                // the prober's connections may be hit too
	ending   cutEnding
	frozen   time.Duration
	deadline time.Duration    // of the caller; 0: none
	cancelAt *faultproxy.Rule // where the caller cancels, or nil
	cancel   bool             // the caller cancels when the rule acts
}

// String describes the plan in one line.
func (p *cutPlan) String() string {
	s := fmt.Sprintf("%v %q args=%v warm=%v fence=%v cancels=%v %v: %v %s nth %d place %d offset %d %v", p.kind, p.writes, p.args, p.warm, p.fence, p.cancels, p.params,
		p.rule.Action, faultproxy.TypeName(p.rule.Direction, p.rule.Type), p.rule.Nth, p.rule.Place, p.rule.Offset, p.rule.Direction)
	if p.pinned {
		s += ", pinned"
	}
	if p.dropped != 0 {
		s += fmt.Sprintf(", the answer lost %v the commit point", p.dropped)
	}
	if p.ending != endNone {
		s += fmt.Sprintf(", frozen for %v, then %d", p.frozen, p.ending)
	}
	if p.deadline > 0 {
		s += fmt.Sprintf(", deadline %v", p.deadline)
	}
	if p.cancelAt != nil {
		s += fmt.Sprintf(", cancelled at %s %d", faultproxy.TypeName(p.cancelAt.Direction, p.cancelAt.Type), p.cancelAt.Nth)
	}
	if p.cancel {
		s += ", cancelled at the fault"
	}
	return s
}

// fenced reports whether the commit fence covers the plan: then no outcome may
// stay unknown.
func (p *cutPlan) fenced() bool {
	simple := slices.Contains(p.params, "default_query_exec_mode=simple_protocol")
	return p.fence && p.kind < cutSeveral && !(simple && p.kind.autocommit())
}

// drawCut draws the cut of a number. Every draw is made whatever the ones before
// it were, so that the plans of neighbouring numbers have nothing to do with
// each other.
func drawCut(seed uint64, id int, server cutTraits) *cutPlan {
	rng := rand.New(rand.NewPCG(seed, uint64(id)))
	p := &cutPlan{id: id, kind: cutKind(pick(rng, 12, 7, 8, 5, 14, 5, 11, 4, 3, 4, 9, 9)), args: rng.IntN(2) == 0, warm: rng.IntN(100) < 70}
	if p.kind == cutCopy && !server.copies {
		p.kind = cutExec
	}
	p.pinned = rng.IntN(100) < 12
	p.writes = drawWrites(rng, p.kind)
	p.cutConfig = drawConfig(seed, id/cutBlock)
	if id/cutBlock <= directedRounds*len(directed)/cutBlock {
		p.params = []string{"sslmode=prefer", "statement_cache_capacity=1"} // which make for more kinds of messages
	}
	p.fence, p.cancels = p.fence && server.fence, p.cancels || !server.forks
	p.drawFault(rng, server.drops)
	p.drawPlace(rng)
	if id < directedRounds*len(directed) {
		p.direct(directed[id/2%len(directed)], id%2 == 0, server.copies)
	}
	p.drawContext(rng)
	return p
}

// directed are the types of messages that the first cuts go for one after the
// other, before and after each, with work that has them.
var directed = func() (all []cutTarget) {
	for _, t := range []cutTarget{
		{kind: cutTx, warm: true, dir: faultproxy.ToServer, types: "BDESPC"},
		{kind: cutExec, warm: true, dir: faultproxy.ToServer, types: "X\x04"},
		{kind: cutSeveral, warm: true, dir: faultproxy.ToServer, types: "Q"},
		{kind: cutCopy, warm: true, dir: faultproxy.ToServer, types: "dc"},
		{kind: cutExec, dir: faultproxy.ToServer, types: "\x01\x02"},
		{kind: cutTx, warm: true, dir: faultproxy.ToClient, types: "12nCZt3"},
		{kind: cutReturning, warm: true, dir: faultproxy.ToClient, types: "TD"},
		{kind: cutFailing, warm: true, dir: faultproxy.ToClient, types: "E"},
		{kind: cutCopy, warm: true, dir: faultproxy.ToClient, types: "G"},
		{kind: cutExec, dir: faultproxy.ToClient, types: "RKS\x05"},
	} {
		for i := range t.types {
			one := t
			one.types = t.types[i : i+1]
			all = append(all, one)
		}
	}
	return all
}()

// directedRounds is how many cuts go for each of them, half before and half
// after.
const directedRounds = 6

// cutTarget is work and types of messages in it.
type cutTarget struct {
	kind  cutKind
	warm  bool
	dir   faultproxy.Direction
	types string
}

// direct aims the plan at a target, in ways that the draw has left open.
func (p *cutPlan) direct(at cutTarget, before, copies bool) {
	if at.kind == cutCopy && !copies {
		return
	}
	p.kind, p.warm, p.observe, p.probers, p.dropped = at.kind, at.warm, false, false, 0
	p.writes = map[bool]string{true: "i", false: "iui"}[at.kind.autocommit()]
	if at.kind == cutCopy {
		p.writes = "iii"
	}
	if p.rule.Action != faultproxy.Cut && p.rule.Action != faultproxy.Hold {
		p.rule.Action, p.ending = faultproxy.Reset, endNone
	}
	p.rule.Direction, p.rule.Type, p.rule.Nth, p.rule.Place, p.rule.Offset = at.dir, at.types[0], 1, faultproxy.Before, 0
	if !before {
		p.rule.Place = faultproxy.After
	}
}

func drawConfig(seed uint64, block int) (c cutConfig) {
	rng := rand.New(rand.NewPCG(seed+1, uint64(block)))
	c.fence = rng.IntN(100) < 40
	if mode := []string{"", "cache_describe", "describe_exec", "exec", "simple_protocol"}[pick(rng, 60, 10, 10, 10, 10)]; mode != "" {
		c.params = append(c.params, "default_query_exec_mode="+mode)
	}
	ssl := "sslmode=disable"
	if rng.IntN(100) < 15 {
		ssl = "sslmode=prefer" // the proxy refuses, as many servers do
	}
	c.params = append(c.params, ssl)
	if rng.IntN(100) < 20 {
		c.params = append(c.params, "statement_cache_capacity=1") // statements are closed again
	}
	c.cancels = rng.IntN(100) < 25
	return c
}

// pick draws an index by weight.
func pick(rng *rand.Rand, weights ...int) int {
	total := 0
	for _, w := range weights {
		total += w
	}
	n := rng.IntN(total)
	for i, w := range weights {
		if n -= w; n < 0 {
			return i
		}
	}
	panic("unreachable: the weights add up")
}

func drawWrites(rng *rand.Rand, kind cutKind) string {
	n, letters := 1+rng.IntN(3), ""
	switch {
	case kind.autocommit():
		n = 1
	case kind == cutSeveral:
		n = max(n, 2)
	}
	for range n {
		letters += string("iiu"[rng.IntN(3)])
	}
	if kind == cutReturning || kind == cutCopy || kind == cutFailing {
		letters = "iii"[:n]
	}
	return letters
}

func (p *cutPlan) drawFault(rng *rand.Rand, drops bool) {
	point := simnode.CommitPoint(1 + rng.IntN(2))
	p.frozen = time.Duration(1+rng.IntN(40)) * time.Millisecond
	switch pick(rng, 26, 26, 9, 8, 7, 12, 4, 8, 6) {
	case 0:
		p.rule.Action = faultproxy.Cut
	case 1:
		p.rule.Action = faultproxy.Reset
	case 2:
		p.rule.Action, p.ending = faultproxy.Hold, endReset
	case 3:
		p.rule.Action, p.ending = faultproxy.Hold, endThaw
	case 4:
		p.rule.Action, p.ending = faultproxy.Hold, endLate
		if p.fenced() {
			p.ending = endThaw // nobody gives up while the fence is being asked
		}
	case 5:
		p.rule.Action = faultproxy.CutReply
	case 6:
		p.rule.Action = faultproxy.DropReply
	case 7:
		p.rule.Action, p.observe = faultproxy.Observe, true
	default:
		p.rule.Action, p.observe = faultproxy.Observe, true
		if drops {
			p.dropped = point
		}
	}
}

// typesOf lists the types of messages that the work has in one direction, for
// most of them several times.
func (p *cutPlan) typesOf(dir faultproxy.Direction) string {
	simple := slices.Contains(p.params, "default_query_exec_mode=simple_protocol") || p.kind == cutSeveral
	start := !p.warm
	var types string
	add := func(present bool, more string) {
		if present {
			types += more
		}
	}
	if dir == faultproxy.ToServer {
		add(true, "BDESX\x04")
		add(true, "BDEPSS")
		add(simple, "QQQQQ")
		add(p.kind == cutCopy, "QQddddccc")
		add(start, "\x01\x02")
		add(slices.Contains(p.params, "statement_cache_capacity=1"), "CCC")
		return types
	}
	add(true, "12nCCZZ")
	add(!p.warm || len(p.writes) > 1, "1t")
	add(p.kind == cutReturning || p.kind == cutOnConn, "TD")
	add(p.kind == cutFailing, "EEE")
	add(true, "E")
	add(p.kind == cutCopy, "GGGTD")
	add(start, "RKS\x05Z")
	add(slices.Contains(p.params, "statement_cache_capacity=1"), "33")
	return types
}

func (p *cutPlan) drawPlace(rng *rand.Rand) {
	r := &p.rule
	r.PerConnection, p.probers = true, rng.IntN(100) < 4
	r.Direction = faultproxy.Direction(1 + rng.IntN(2))
	answered := r.Action == faultproxy.CutReply || r.Action == faultproxy.DropReply
	place, after := pick(rng, 45, 35, 20), rng.IntN(2) == 0
	steps := 1
	if !p.kind.autocommit() && p.kind != cutSeveral {
		steps += len(p.writes)
	}
	far, bytes := 5*steps, 100*steps
	if !p.warm {
		far, bytes = far+14, bytes+300
	}
	types := p.typesOf(r.Direction)
	typ, nth := types[rng.IntN(len(types))], 1+pick(rng, 60, 40/2*min(steps, 3), 5*steps, 5)
	far, bytes = 1+rng.IntN(far), rng.IntN(bytes)
	switch {
	case answered:
		r.Direction, r.Type, r.Nth = faultproxy.ToServer, 'S', nth
		if p.kind == cutSeveral || slices.Contains(p.params, "default_query_exec_mode=simple_protocol") {
			r.Type = 'Q'
		}
		return
	case place == 0:
		r.Type, r.Nth = typ, nth
	case place == 1:
		r.Nth = far
	default:
		r.Place, r.Offset = faultproxy.InStream, bytes
		return
	}
	if after {
		r.Place = faultproxy.After
	}
}

// cancelTypes are where callers cancel: with a statement on its way.
const cancelTypes = "PBEEESSSQQ"

func (p *cutPlan) drawContext(rng *rand.Rand) {
	deadline := time.Duration(1+rng.IntN(60)) * time.Millisecond
	at := &faultproxy.Rule{Direction: faultproxy.ToServer, Action: faultproxy.Observe, PerConnection: true}
	at.Type, at.Nth = cancelTypes[rng.IntN(len(cancelTypes))], 1+rng.IntN(3)
	choice := pick(rng, 50, 20, 15, 15)
	cancelRequest := p.rule.Direction == faultproxy.ToServer && p.rule.Type == faultproxy.CancelRequest
	switch {
	case cancelRequest:
		p.warm, p.cancelAt = true, at // what makes pgx send one
		at.Type, at.Nth, p.rule.Nth = faultproxy.AnyType, 1, 1
		if p.ending == endLate {
			p.ending = endThaw
		}
		return
	case p.dropped != 0:
		choice = min(choice, 1)
	case p.observe:
		choice = 1 + choice%3
	case p.farewell() && p.ending == endLate:
		p.ending = endThaw // closing waits for it
	case p.ending == endLate || p.rule.Action == faultproxy.DropReply:
		choice = 1 + 2*(choice%2) // or it would wait for ever
	}
	switch choice {
	case 1:
		p.deadline = deadline
	case 2:
		p.cancelAt = at
	case 3:
		p.cancel = true
	}
	if p.ending == endLate && p.cancel || p.rule.Action == faultproxy.DropReply && p.cancel {
		p.deadline = time.Second // if the rule doesn't act, or acts on the pool's own doings
	}
}

// farewell reports whether what is hit comes after the work: the end of the
// session, or the request to cancel that pgx sends in the background.
func (p *cutPlan) farewell() bool {
	return p.rule.Direction == faultproxy.ToServer && (p.rule.Type == 'X' || p.rule.Type == faultproxy.CancelRequest)
}

// context returns the caller's context.
func (p *cutPlan) context(parent context.Context) (context.Context, context.CancelFunc) {
	if p.deadline > 0 {
		return context.WithTimeout(parent, p.deadline)
	}
	return context.WithCancel(parent)
}
