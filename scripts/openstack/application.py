"""The WSGI application of the service that the environment names (SERVICE=keystone, glance or nova).

sqlite lets one connection write at a time. A transaction that began as a reader fails at once when it turns into a
writer while another one writes; one that asks for the write lock at its beginning waits for its turn. oslo.db begins
all of them as readers, hence the listener.
"""
import importlib
import os

import sqlalchemy


@sqlalchemy.event.listens_for(sqlalchemy.engine.Engine, "before_cursor_execute", retval=True)
def begin_as_writer(_connection, _cursor, statement, parameters, _context, _executemany):
    return ("BEGIN IMMEDIATE" if statement == "BEGIN" else statement), parameters


service = os.environ["SERVICE"]
module = "nova.wsgi.osapi_compute" if service == "nova" else service + ".wsgi.api"
application = importlib.import_module(module).application
