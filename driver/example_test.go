package driver_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"sync/atomic"

	"github.com/jackc/pgx/v5"

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

// A configuration shows its nodes and never its secrets; so do the errors.
func ExampleParseConfig() {
	cfg, err := driver.ParseConfig("postgres://app:secret@n1:5432,n2:5432/bank?balancer=round_robin")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(cfg)
	fmt.Println(cfg.Settings.Balancer, cfg.Settings.AcquireTimeout)
	_, err = driver.ParseConfig("postgres://app:secret@n1:5432/bank?min_idle=many")
	fmt.Println(err)
	// Output:
	// anywriter configuration of n1:5432, n2:5432
	// round_robin 1s
	// dsn: the value of min_idle must be a whole number from 0 to 10000
}

// The cluster behind a *sql.DB has statistics.
func ExampleFromDB() {
	ctx := context.Background()
	_, db, stop := openBank(ctx)
	defer stop()

	c, err := driver.FromDB(db)
	if err != nil {
		log.Fatal(err)
	}
	var picks int64
	for _, n := range c.Stats().Nodes {
		picks += n.Picks
		fmt.Println(n.Engine, n.State)
	}
	fmt.Println(picks > 0, c.Leases())
	// Output:
	// simnode Up
	// simnode Up
	// simnode Up
	// true 0
}

// A password that changes while the program runs: the hook is asked for each
// connection, and once more if the server refuses what it said.
func ExampleRefusedCredential() {
	ctx := context.Background()
	sim, err := simnode.Start(ctx, simnode.Config{Nodes: 1, Roles: map[string]string{"postgres": "new"}})
	if err != nil {
		log.Fatal(err)
	}
	defer sim.Close()
	cfg, err := driver.ParseConfig(sim.DSN())
	if err != nil {
		log.Fatal(err)
	}
	var password atomic.Value
	password.Store("old")
	cfg.BeforeConnect = func(ctx context.Context, c *pgx.ConnConfig) error {
		if driver.RefusedCredential(ctx) != nil {
			password.Store("new") // from where passwords come from
		}
		c.Password = password.Load().(string)
		return nil
	}
	db := sql.OpenDB(driver.NewConnector(cfg))
	defer db.Close()
	fmt.Println(db.PingContext(ctx))
	// Output: <nil>
}

// What pgx can do and database/sql can't is done on the server connection of a
// checkout.
func ExamplePgxConn() {
	ctx := context.Background()
	_, db, stop := openBank(ctx)
	defer stop()

	conn, err := db.Conn(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	err = conn.Raw(func(dc any) error {
		pc, err := dc.(driver.PgxConn).PgxConn(ctx)
		if err != nil {
			return err
		}
		batch := &pgx.Batch{}
		for id := range 2 {
			batch.Queue("select balance from accounts where id = $1", id+1).QueryRow(func(row pgx.Row) error {
				var balance int
				if err := row.Scan(&balance); err != nil {
					return err
				}
				fmt.Println(balance)
				return nil
			})
		}
		return pc.SendBatch(ctx, batch).Close()
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// 100
	// 100
}

// openBank starts a simulated cluster of three nodes, in place of yours, with two
// accounts of 100 each.
func openBank(ctx context.Context) (sim *simnode.Sim, db *sql.DB, stop func()) {
	sim, err := simnode.Start(ctx, simnode.Config{Nodes: 3})
	if err != nil {
		log.Fatal(err)
	}
	// Longer than by default: here the servers share two busy cores with their client.
	if db, err = sql.Open("anywriter", sim.DSN()+"&acquire_timeout=20s"); err != nil {
		log.Fatal(err)
	}
	for _, statement := range []string{
		"create table accounts (id int primary key, balance int not null)",
		"insert into accounts values (1, 100), (2, 100)",
	} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			log.Fatal(err)
		}
	}
	return sim, db, func() {
		if err := errors.Join(db.Close(), sim.Close()); err != nil {
			log.Fatal(err)
		}
	}
}

// balanceOf reads an account.
func balanceOf(ctx context.Context, db *sql.DB, id int) (balance int) {
	if err := db.QueryRowContext(ctx, "select balance from accounts where id = $1", id).Scan(&balance); err != nil {
		log.Fatal(err)
	}
	return balance
}
