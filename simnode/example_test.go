package simnode_test

import (
	"context"
	"fmt"
	"log"

	"github.com/jackc/pgx/v5"

	"github.com/anywriter/anywriter/simnode"
)

// A write through one node is seen by a read through another, and a frozen node
// stands in nobody's way.
func Example() {
	ctx := context.Background()
	sim, err := simnode.Start(ctx, simnode.Config{Nodes: 3})
	if err != nil {
		log.Fatal(err)
	}
	defer sim.Close()
	undo := sim.Node(2).Freeze()
	defer undo()

	if err := execAt(ctx, sim.Node(1), "create table t (id int primary key)"); err != nil {
		log.Fatal(err)
	}
	if err := execAt(ctx, sim.Node(3), "insert into t values (1)"); err != nil {
		log.Fatal(err)
	}
	fmt.Println(sim.Node(2).Status().State)
	// Output: frozen
}

func execAt(ctx context.Context, n *simnode.Node, statement string) error {
	conn, err := pgx.Connect(ctx, "postgres://postgres@"+n.Addr()+"/postgres?sslmode=disable")
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	return err
}
