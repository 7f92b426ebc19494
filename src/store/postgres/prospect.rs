//! What a start would find in the database, seen without changing anything.

use std::time::Duration;

use tokio::time::timeout;

use super::{
    PostgresUrl,
    connect::Connector,
    failure::{Failure, Meaning},
    makers, refusal, refused, schema,
};
use crate::store::{OpenError, Prospect};

/// How long the database may take over all of it. A start would wait.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why the register cannot be had.
enum Obstacle {
    Failure(Failure),
    Newer(i64),
    NoTables,
}

impl<F: Into<Failure>> From<F> for Obstacle {
    fn from(failure: F) -> Self {
        Self::Failure(failure.into())
    }
}

pub(super) async fn of(url: &PostgresUrl, name: &str) -> Result<Prospect, OpenError> {
    let connector = Connector::new(url).map_err(|reason| refused(url, reason))?;
    let asked = timeout(PATIENCE, ask(&connector, name)).await;
    let obstacle = match asked.unwrap_or_else(|_| Err(Failure::Silent(PATIENCE).into())) {
        Ok(prospect) => return Ok(prospect),
        Err(obstacle) => obstacle,
    };
    let (reason, advice) = match obstacle {
        Obstacle::Newer(found) => {
            return Err(OpenError::NewerDatabase {
                database: url.to_string(),
                found,
                known: schema::SCHEMA_VERSION,
            });
        }
        Obstacle::NoTables => (
            "its user may not make the tables that it lacks".to_owned(),
            makers(url),
        ),
        Obstacle::Failure(failure) if failure.meaning() == Meaning::Away => (
            failure.reason(),
            "a server that is started waits until it answers".to_owned(),
        ),
        Obstacle::Failure(failure) => return Err(refusal(url, &failure)),
    };
    Err(OpenError::Refused {
        database: url.to_string(),
        reason,
        advice,
    })
}

async fn ask(connector: &Connector, name: &str) -> Result<Prospect, Obstacle> {
    let (session, _) = connector.open().await?;
    let client = &session.client;
    let is_postgres = schema::is_postgres(client).await?;
    let version = schema::version(client).await?;
    let newest = schema::SCHEMA_VERSION;
    let register = match version {
        Some(found) if found > newest => return Err(Obstacle::Newer(found)),
        Some(_) => schema::find(client, name).await?.map(|(_, id, _)| id),
        None if is_postgres && !schema::may_make_tables(client).await? => {
            return Err(Obstacle::NoTables);
        }
        None => None,
    };
    let warnings = if is_postgres {
        schema::warnings(client, connector.url.hosts()).await?
    } else {
        Vec::new()
    };
    Ok(Prospect {
        register,
        migration: version
            .filter(|found| *found < newest)
            .map(|found| (found, newest)),
        warnings,
    })
}
