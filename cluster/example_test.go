package cluster_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/anywriter/anywriter/cluster"
	"github.com/anywriter/anywriter/simnode"
)

// A transaction without database/sql, on a session of its own.
func ExampleRunTx() {
	ctx := context.Background()
	sim, err := simnode.Start(ctx, simnode.Config{Nodes: 3}) // in place of your cluster
	if err != nil {
		log.Fatal(err)
	}
	defer sim.Close()
	cfg, err := cluster.ParseConfig(sim.DSN())
	if err != nil {
		log.Fatal(err)
	}
	c, err := cluster.Open(ctx, cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	s := c.NewSession()
	defer s.Release()
	if _, err := s.Exec(ctx, "create table accounts (id int primary key, balance int)", nil); err != nil {
		log.Fatal(err)
	}
	s.Release() // so that the transaction may run anywhere
	opts := &cluster.RunOptions{RetryOptions: cluster.RetryOptions{MaxAttempts: 5}}
	err = cluster.RunTx(ctx, s, opts, func(ctx context.Context, s *cluster.Session) error {
		for id := range 2 {
			if _, err := s.Exec(ctx, "insert into accounts values ($1, $2)", []any{id, 100}); err != nil {
				return err
			}
		}
		return nil
	})
	fmt.Println(err)
	x := s.Explain()
	fmt.Printf("%s: %v, because %s\n", x.Scope, x.Outcome, x.Reason)
	// Output:
	// <nil>
	// COMMIT: Committed, because the server has confirmed it
}

// The nodes of a running program are replaced: one is taken out, another comes in.
func ExampleCluster_SetNodes() {
	ctx := context.Background()
	sim, err := simnode.Start(ctx, simnode.Config{Nodes: 4}) // in place of your cluster
	if err != nil {
		log.Fatal(err)
	}
	defer sim.Close()
	list := func(a, b, c int) string {
		return fmt.Sprintf("postgres://postgres@%s,%s,%s/postgres?sslmode=disable",
			sim.Node(a).Addr(), sim.Node(b).Addr(), sim.Node(c).Addr())
	}
	cfg, err := cluster.ParseConfig(list(1, 2, 3))
	if err != nil {
		log.Fatal(err)
	}
	c, err := cluster.Open(ctx, cfg) // or driver.FromDB(db), if there is a *sql.DB
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	next, err := cluster.ParseConfig(list(2, 3, 4))
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute) // how long node 4 may need to be ready
	defer cancel()
	fmt.Println(c.SetNodes(ctx, next))
	fmt.Println(c.Stats().Nodes[2].Addr == sim.Node(4).Addr())
	// Output:
	// <nil>
	// true
}
