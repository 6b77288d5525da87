package cluster

import "context"

// hints are what the caller said about an operation through its context.
type hints struct {
	node       string
	key        string
	idempotent bool
	readOnly   bool
	commit     bool
}

type hintsKey struct{}

func hintsOf(ctx context.Context) hints {
	h, _ := ctx.Value(hintsKey{}).(hints)
	return h
}

// WithNode asks for one node by its address, as the DSN names it. It says where
// a checkout begins: inside a transaction or a used session it has no effect.
// Given to the beginning of a transaction it counts for the first statement. If
// that node can't take the operation, the operation fails rather than going
// elsewhere; a read may go to a node that takes no writes whatever read_from says.
// The address of no node is an error of the operation.
func WithNode(ctx context.Context, addr string) context.Context {
	h := hintsOf(ctx)
	h.node = addr
	return context.WithValue(ctx, hintsKey{}, h)
}

// WithKey says what an operation is about, an account for example. Operations
// with the same key go to the same node, as long as that is up and isn't
// overloaded, whatever the picker and from every client that names the nodes
// alike; so they meet their conflicts there, early, and not at COMMIT between
// nodes. Like WithNode, which goes before it, it says where a checkout begins,
// and given to the beginning of a transaction it counts for the first statement.
// The empty key is none.
func WithKey(ctx context.Context, key string) context.Context {
	h := hintsOf(ctx)
	h.key = key
	return context.WithValue(ctx, hintsKey{}, h)
}

// WithIdempotent says that running an autocommit statement twice does no harm,
// so that it may be tried again although it may already have taken effect. It
// has no effect inside a transaction.
func WithIdempotent(ctx context.Context) context.Context {
	h := hintsOf(ctx)
	h.idempotent = true
	return context.WithValue(ctx, hintsKey{}, h)
}

// WithReadOnly says that a statement changes nothing, although its text can't
// show it: a SELECT that calls a function of the application's own, for
// example. It is then tried again, and goes where read_from says, like any other
// read.
func WithReadOnly(ctx context.Context) context.Context {
	h := hintsOf(ctx)
	h.readOnly = true
	return context.WithValue(ctx, hintsKey{}, h)
}

// WithCommit says that a statement is the last one of its transaction, so that
// COMMIT may travel with it and cost no round trip of its own. The transaction
// must still be ended by Commit, which then reports what the server said. After
// the statement nothing else may run in the transaction, and Rollback fails if
// the commit has succeeded. If the statement fails, the server skips the COMMIT.
// If the context of a sql.Tx ends between the statement and Commit, database/sql
// answers Commit itself, with the context's error or sql.ErrTxDone, although the
// transaction has been committed; RunTx returns nil then.
// Outside a transaction, for a text of several commands and with
// default_query_exec_mode=simple_protocol the hint has no effect.
func WithCommit(ctx context.Context) context.Context {
	h := hintsOf(ctx)
	h.commit = true
	return context.WithValue(ctx, hintsKey{}, h)
}
