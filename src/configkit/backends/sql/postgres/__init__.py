"""What is PostgreSQL's own: its address, its connections and their deadlines, its migrations, and its journal's notices."""
