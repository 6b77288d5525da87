package driver_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"

	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/simnode"
)

// A handle for a whole cluster: every statement goes to the node that is best for
// it now.
func Example() {
	ctx := context.Background()
	sim, err := simnode.Start(ctx, simnode.Config{Nodes: 3}) // in place of your cluster
	if err != nil {
		log.Fatal(err)
	}
	defer sim.Close()

	db, err := sql.Open("anywriter", sim.DSN()) // postgres://app:secret@n1:5432,n2:5432,n3:5432/bank
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "create table events (id int primary key, what text)"); err != nil {
		log.Fatal(err)
	}
	if _, err := db.ExecContext(ctx, "insert into events (id, what) values ($1, $2)", 1, "opened"); err != nil {
		log.Fatal(err)
	}
	var what string
	if err := db.QueryRowContext(ctx, "select what from events where id = $1", 1).Scan(&what); err != nil {
		log.Fatal(err)
	}
	fmt.Println(what)
	// Output: opened
}

// The closure runs again when a conflict or a fault has certainly undone it.
func ExampleRunTx() {
	ctx := context.Background()
	sim, err := simnode.Start(ctx, simnode.Config{Nodes: 3})
	if err != nil {
		log.Fatal(err)
	}
	defer sim.Close()
	db, err := sql.Open("anywriter", sim.DSN())
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	for _, statement := range []string{
		"create table accounts (id int primary key, balance int not null)",
		"insert into accounts values (1, 100), (2, 100)",
	} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			log.Fatal(err)
		}
	}

	amount, from, to := 30, 1, 2
	err = driver.RunTx(ctx, db, nil, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "update accounts set balance = balance - $1 where id = $2", amount, from)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "update accounts set balance = balance + $1 where id = $2", amount, to)
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	var balance int
	if err := db.QueryRowContext(ctx, "select balance from accounts where id = 2").Scan(&balance); err != nil {
		log.Fatal(err)
	}
	fmt.Println(balance)
	// Output: 130
}

// A configuration can be changed in code before the cluster is opened.
func ExampleNewConnector() {
	cfg, err := driver.ParseConfig("postgres://app:secret@n1:5432,n2:5432,n3:5432/bank?max_conns_per_node=8")
	if err != nil {
		log.Fatal(err)
	}
	cfg.Settings.MaxConnsPerNode *= 2
	db := sql.OpenDB(driver.NewConnector(cfg)) // dials nothing yet
	defer db.Close()
	fmt.Println(cfg.Settings.MaxConnsPerNode)
	// Output: 16
}
